"""A feed's own time: its instant, its speed, where it stops, and what follows from a missing or broken file."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.contracts import clock
from aerocast.contracts.clock import Clock
from cli.__main__ import main

START = datetime(2024, 4, 1, tzinfo=UTC)
REAL = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_now_without_clock_file_is_wall_time_or_end_of_recording(tmp_path: Path) -> None:
    assert clock.now(tmp_path, "any", real=REAL) == REAL
    assert clock.now(tmp_path, "any", START, REAL) == START
    assert abs(clock.now(tmp_path, "any") - datetime.now(UTC)) < timedelta(seconds=5)


def test_clock_runs_at_its_speed_and_stops(tmp_path: Path) -> None:
    clock.document(tmp_path, "sim").write(Clock(START, REAL, 3600.0, START + 10 * HOUR))
    seen = [clock.now(tmp_path, "sim", real=REAL + timedelta(seconds=s)) for s in (-5, 0, 2.5, 10, 99)]
    assert seen == [START, START, START + 2.5 * HOUR, START + 10 * HOUR, START + 10 * HOUR]
    assert clock.now(tmp_path, "sim", START + HOUR, REAL + timedelta(seconds=5)) == START + HOUR, "the feed's end"
    assert clock.now(tmp_path, "other", real=REAL) == REAL


@given(
    speed=st.floats(0, 1e5),
    seconds=st.lists(st.floats(0, 1e5), min_size=2, max_size=5),
    until=st.none() | st.integers(0, 1000),
)
def test_clock_never_goes_back(speed: float, seconds: list[float], until: int | None) -> None:
    own = Clock(START, REAL, speed, START + until * HOUR if until is not None else None)
    shown = [own.at(REAL + timedelta(seconds=second)) for second in sorted(seconds)]
    assert shown == sorted(shown)
    assert shown[0] >= START


def test_damaged_clock_raises_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "clock" / "sim.json"
    path.parent.mkdir()
    path.write_text('{"instant": "yesterday"}')
    with pytest.raises(AeroCastError, match=r"clock .*sim\.json cannot be read"):
        clock.now(tmp_path, "sim")


def test_simulate_command_sets_clock(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["simulate", "--at", "2024-04-01T02:00+02:00", "--speed", "0", "--until", "2024-04-02"]
    assert main(arguments) == 0
    assert "heatwave lives at 2024-04-01 00:00 UTC" in capsys.readouterr().out
    assert clock.now(home, "heatwave") == START
    assert clock.document(home, "heatwave").read() is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--at", "soon"], "--at: 'soon' is not a time"),
        (["--at", "2024-04-01", "--speed", "-1"], "--speed: -1.0 is not allowed"),
        (["--at", "2024-04-01", "--speed", "nan"], "--speed: nan is not allowed"),
        (["--at", "2024-04-01", "--speed", "1e18"], "--speed: 1e+18 is not allowed"),
        (["--at", "2024-04-02", "--until", "2024-04-01"], "--until: 2024-04-01 is before"),
        (["--at", "2024-04-02", "--feed", "nothing"], "no feed 'nothing'"),
    ],
)
def test_simulate_command_refuses_wrong_option_in_one_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["simulate", *arguments]) == 1
    assert said in capsys.readouterr().err
    assert clock.document(home, "heatwave").read() is None
