"""What cannot be read is tried again ever later, and for a declared time only."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from aerocast.common.waits import LONGEST_PAUSE, PAUSE
from aerocast.ingest.channels import patience
from aerocast.ingest.channels.patience import Delay, Patience

NOW = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_retries_slow_down_until_patience_ends(tmp_path: Path) -> None:
    now, pauses = NOW, []
    while True:
        kept = Patience(tmp_path, "claims", DAY)  # another process each time
        assert kept.is_due("a", now)
        if (delay := kept.fail("a", "no such bucket", now)) is None:
            break
        assert not Patience(tmp_path, "claims", DAY).is_due("a", delay.due - timedelta(seconds=1))
        pauses.append(delay.due - now)
        now = delay.due
    assert pauses[:3] == [PAUSE, 2 * PAUSE, 4 * PAUSE]
    assert max(pauses) == LONGEST_PAUSE
    assert DAY <= now - NOW <= DAY + LONGEST_PAUSE
    kept.clear("a")
    assert patience.read_delays(tmp_path, "claims") == {}
    assert not (tmp_path / "put_off" / "claims.json").exists()


def test_entry_not_met_again_is_forgotten(tmp_path: Path) -> None:
    kept = Patience(tmp_path, "claims", DAY)
    kept.fail("a", "no such bucket", NOW)
    kept.sweep([], NOW)
    assert kept.delays["a"].due == NOW + PAUSE, "it is not due yet"
    kept.sweep([], NOW + PAUSE)
    assert not kept.is_due("a", NOW + 2 * PAUSE), "and starts no run after run"
    kept.sweep([], NOW + 2 * DAY)
    assert patience.read_delays(tmp_path, "claims") == {}


@given(st.timedeltas(-9000 * DAY, 9000 * DAY))
def test_clock_set_back_delays_nothing(due: timedelta) -> None:
    delay = Delay(NOW + due - PAUSE, 1, NOW + due, "")
    assert delay.is_due(NOW) or delay.is_due(NOW + LONGEST_PAUSE)


def test_damaged_document_retries_everything(tmp_path: Path) -> None:
    kept = Patience(tmp_path, "claims", DAY)
    kept.fail("a", "no such bucket", NOW)
    (tmp_path / "put_off" / "claims.json").write_text("{")
    assert Patience(tmp_path, "claims", DAY).is_due("a", NOW)
