"""Who may be judged on what: nobody on rows that they learned from; and what the proof is made of."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import numpy as np
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.features.dataset import Rows
from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.models.candidates import Candidate
from aerocast.models.splits import Role
from aerocast.models.trainer import roles
from aerocast.promotion.duel import compare
from aerocast.promotion.scoring import overall, score
from aerocast.promotion.trial import INCUMBENT, _fair_rows, _test_rows
from aerocast.releases.release import Release
from aerocast.tables.training import Samples
from tests.factories.feeds import small_feed
from tests.factories.releases import manifest


@pytest.fixture
def spec() -> WindowSpec:
    feed: Feed = small_feed(Path("unused.csv"))
    return WindowSpec.of(feed, "temperature")


@pytest.fixture
def judges() -> Samples:
    """A hundred hours from 1 April on."""
    time = np.datetime64("2024-04-01T00:00:00") + np.arange(100) * np.timedelta64(3600, "s")
    nothing = np.zeros((100, 1), dtype=np.float32)
    return Samples(np.full(100, "AAA"), time, Rows(nothing, nothing), ("x",))


def trained_to(moment: datetime) -> Release:
    """A release that was judged after it had learned until then; what serves has learned more."""
    own = manifest(1)
    lineage = msgspec.structs.replace(own.lineage, training_end=datetime(2024, 9, 1, tzinfo=UTC), trial_end=moment)
    return Release(msgspec.structs.replace(own, version="0001-aaaaaaaa", lineage=lineage), {})


def test_without_incumbent_all_rows_judge(spec: WindowSpec, judges: Samples) -> None:
    assert _fair_rows(judges, spec, None) == (judges, "")


def test_older_incumbent_leaves_judging_rows_unchanged(spec: WindowSpec, judges: Samples) -> None:
    judged, note = _fair_rows(judges, spec, trained_to(datetime(2024, 3, 31, 17, tzinfo=UTC)))
    assert len(judged.time) == 100
    assert note == ""


def test_rows_learned_by_incumbent_do_not_judge(spec: WindowSpec, judges: Samples) -> None:
    judged, note = _fair_rows(judges, spec, trained_to(datetime(2024, 4, 2, 0, tzinfo=UTC)))
    assert judged.time.min() == np.datetime64("2024-04-02T07:00:00")
    assert note == ""


def test_incumbent_that_learned_all_rows_is_not_scored_with_note(spec: WindowSpec, judges: Samples) -> None:
    judged, note = _fair_rows(judges, spec, trained_to(datetime(2024, 6, 1, tzinfo=UTC)))
    assert len(judged.time) == 100
    assert "0001-aaaaaaaa learned from all these rows" in note


HOUR = np.timedelta64(3600, "s")


def samples(hours: int) -> Samples:
    """As many hours from New Year on."""
    nothing = np.zeros((hours, 1), dtype=np.float32)
    time = np.datetime64("2024-01-01T00:00:00") + np.arange(hours) * HOUR
    return Samples(np.full(hours, "AAA"), time, Rows(nothing, nothing), ("x",))


def candidates(*trained: tuple[datetime, datetime | None]) -> Iterable[Candidate]:
    """As much of candidates as the rule looks at: until when they learned, and for which regime."""
    return [cast("Candidate", SimpleNamespace(end=end, since=since)) for end, since in trained]


def test_regime_candidates_are_judged_by_regime_split(spec: WindowSpec) -> None:
    feed, rows = small_feed(Path("unused.csv")), samples(24 * 120)
    since, end = datetime(2024, 4, 8, tzinfo=UTC), datetime(2024, 4, 15, tzinfo=UTC)
    wanted = roles(feed, spec, rows, since) == Role.TEST
    assert 0 < wanted.sum() < (roles(feed, spec, rows) == Role.TEST).sum()
    for asked in (since, None):
        unseen = _test_rows(feed, spec, rows, list(candidates((end, since), (end, since))), asked)
        np.testing.assert_array_equal(unseen, wanted)


def test_candidate_of_other_split_never_judges_itself(spec: WindowSpec) -> None:
    """One was trained for a regime, another was left from before: both must be new to a row."""
    feed, rows = small_feed(Path("unused.csv")), samples(24 * 120)
    since = datetime(2024, 4, 8, tzinfo=UTC)
    late, early = datetime(2024, 4, 26, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)
    for asked in (since, None):
        unseen = _test_rows(feed, spec, rows, list(candidates((early, None), (late, since))), asked)
        assert rows.time[unseen].min() == np.datetime64("2024-04-26T07:00:00"), "the last outcome learned is at 6"
    with pytest.raises(AeroCastError, match="train them all again"):
        _test_rows(feed, spec, rows, list(candidates((datetime(2024, 5, 1, tzinfo=UTC), None))), None)


def test_proof_compares_the_composite(spec: WindowSpec) -> None:
    made, hours = np.random.default_rng(0), 200
    station, time = np.repeat(["AAA", "BBB"], hours), np.tile(samples(hours).time, 2)
    actual = made.normal(50, 9, (2 * hours, 2)).astype(np.float32)
    actual[made.random((2 * hours, 2)) < 0.1] = np.nan
    sizes = {"persistence": 3.0, "seasonal_naive": 4.0, "linear": 1.0, INCUMBENT: 1.3}
    found = {name: actual + made.normal(0, size, actual.shape).astype(np.float32) for name, size in sizes.items()}
    kept = ~np.isin(time, time[90:100])
    test = Samples(station[kept], time[kept], Rows(actual[kept][:, :1], actual[kept]), ("x",))
    judged = {name: levels[kept] for name, levels in found.items()}
    duel = compare(spec, test.time, test.rows.y, judged, spec.horizons, (INCUMBENT, "linear"))
    assert duel.time.shape == duel.incumbent.shape == duel.challenger.shape == (hours,)
    assert np.isnan(duel.incumbent[90:100]).all(), "an hour without rows is unknown"
    scores = score(judged, actual[kept], test.station, (1, 6))
    gain = overall(scores, INCUMBENT).composite - overall(scores, "linear").composite
    assert duel.comparison.mean_gain == pytest.approx(gain)
    assert duel.comparison.n == 190, "instants, not rows: two stations at one hour are one"
    assert duel.comparison.p_value < 0.001
    assert duel.comparison.lag >= max(spec.horizons) - 1
