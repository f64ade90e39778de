"""What `aerocast run` says of the time that steps took."""

import pytest

from cli.summary import print_times


def test_assets_are_counted_and_not_steps(capsys: pytest.CaptureFixture[str]) -> None:
    durations = [
        ("noaa/raw", 0.7, ("unchanged",)),
        ("noaa/temperature/candidates", 8.0, ("computed", "unchanged", "unchanged")),
        ("noaa/raw/all_read", 0.1, ()),
    ]
    print_times(durations, 9.0, verbose=True)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "noaa/raw 0.7 unchanged" in lines
    assert "noaa/temperature/candidates 8.0 1 computed, 2 unchanged" in lines
    assert "noaa/raw/all_read 0.1" in lines
    assert lines[-1] == "in all 9.0 1 computed, 3 unchanged"
