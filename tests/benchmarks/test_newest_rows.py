"""Coverage by season: which season an outcome is in, what is judged, and what is said of seasons with few outcomes."""

import numpy as np
import pytest

from aerocast.features.grid import Place

LONDON = Place("here", "Europe/London", 51.5, -0.1)
MELBOURNE = Place("here", "Australia/Melbourne", -37.8, 145.0)


def _hours(start: str, end: str):
    return np.arange(np.datetime64(start, "s"), np.datetime64(end, "s"), np.timedelta64(1, "h"))


@pytest.mark.parametrize(
    ("time", "place", "season"),
    [
        ("2018-02-28T23:00", LONDON, "winter"),
        ("2018-05-31T22:30", LONDON, "spring"),
        ("2018-05-31T23:30", LONDON, "summer"),  # summer time: already June
        ("2018-12-01T00:00", LONDON, "winter"),
        ("2018-12-15T00:00", MELBOURNE, "summer"),
        ("2018-02-28T14:00", MELBOURNE, "autumn"),  # March there
        ("2018-07-01T00:00", Place("here", "UTC"), "summer"),
    ],
)
def test_season_is_that_of_the_local_clock_and_the_hemisphere(time: str, place: Place, season: str) -> None:
    from measuring.by_season import SEASONS, seasons_of

    assert SEASONS[seasons_of(np.array([time], dtype="datetime64[s]"), place)[0]] == season


def test_every_outcome_counts_in_one_season() -> None:
    from measuring.by_season import by_season

    times = _hours("2017-10-01", "2018-07-15")
    inside = np.random.default_rng(0).random(len(times)) < 0.9
    found = list(by_season(times, LONDON, inside))
    assert [each.season for each in found] == ["autumn", "winter", "spring", "summer"]
    assert sum(each.outcomes for each in found) == len(times)
    total = sum(each.share * each.outcomes for each in found)
    assert total == pytest.approx(inside.sum())


def test_rows_of_one_season_have_no_cells() -> None:
    from measuring.by_season import by_season

    times = _hours("2018-06-05", "2018-07-15")
    assert not list(by_season(times, LONDON, np.ones(len(times), dtype=bool)))


@pytest.mark.parametrize(
    ("outcomes", "share", "says"),
    [
        (300, 0.8696, "reached"),
        (300, 0.8694, "MISSED"),
        (5000, 0.9304, "reached"),
        (5000, 0.9306, "MISSED"),
        (299, 0.9, "too few, of 300"),
    ],
)
def test_goal_is_judged_by_what_is_shown(outcomes: int, share: float, says: str) -> None:
    from measuring.by_season import Coverage

    assert Coverage("winter", outcomes, share).cells()[-1] == says


def test_summary_counts_judged_cells_alone() -> None:
    from measuring.by_season import Coverage, summary

    cells = [Coverage("winter", 400, 0.9), Coverage("spring", 400, 0.8), Coverage("summer", 10, 0.1)]
    assert summary(cells) == "1 of 2 cells within 87% and 93%; 1 with fewer than 300 outcomes"
    assert summary(cells[:1]) == "1 of 1 cells within 87% and 93%"
