"""Who may be judged on what: an incumbent never on rows that it learned from."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from aerocast.feed import Feed
from aerocast.forecasters.base import Rows
from aerocast.judging import _judges
from aerocast.release import Release
from aerocast.training import Samples
from aerocast.windows import WindowSpec
from tests.making import small_feed


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
    """As much of a release as the rule looks at."""
    lineage: Any = SimpleNamespace(training_end=moment)
    return cast("Release", SimpleNamespace(version="0001-aaaaaaaa", manifest=SimpleNamespace(lineage=lineage)))


def test_without_an_incumbent_all_rows_judge(spec: WindowSpec, judges: Samples) -> None:
    assert _judges(judges, spec, None) == (judges, "")


def test_an_older_incumbent_changes_nothing(spec: WindowSpec, judges: Samples) -> None:
    judged, note = _judges(judges, spec, trained_to(datetime(2024, 3, 31, 17, tzinfo=UTC)))
    assert len(judged.time) == 100
    assert note == ""


def test_rows_whose_outcomes_the_incumbent_learned_do_not_judge(spec: WindowSpec, judges: Samples) -> None:
    judged, note = _judges(judges, spec, trained_to(datetime(2024, 4, 2, 0, tzinfo=UTC)))
    assert judged.time.min() == np.datetime64("2024-04-02T07:00:00")
    assert note == ""


def test_an_incumbent_that_knows_all_rows_is_not_scored_and_the_note_says_so(spec: WindowSpec, judges: Samples) -> None:
    judged, note = _judges(judges, spec, trained_to(datetime(2024, 6, 1, tzinfo=UTC)))
    assert len(judged.time) == 100
    assert "0001-aaaaaaaa learned from all these rows" in note
