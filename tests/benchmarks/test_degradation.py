"""The ladder's own parts: what is silent is what silver would not have, and answers come from what was measured."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.features.grid import WindowSpec

if TYPE_CHECKING:
    from measuring.degraded import Asker

FILL = 6


def _asker(home: Path) -> "Asker":
    """A release of a made climate, with a second column."""
    from measuring.degraded import Asker
    from measuring.feeds import prepare_series
    from measuring.released import publish
    from measuring.series import Series, climate, declare

    from serving import loading

    made = climate(np.random.default_rng(3), 100)
    values = np.hstack([made.values, np.sin(made.values)])
    series = Series(made.time, ("temperature", "other"), values)
    columns = {"temperature": ("degF", -60.0, 130.0), "other": ("dimensionless", -1.0, 1.0)}
    prepared = prepare_series(declare("made", columns, "temperature"), series)
    publish(home, prepared, ["linear"], sequences=False)
    served = loading.open_current(home, ("made", "temperature"))
    return Asker(served, prepared, 29)


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory, _scripts_on_path: None) -> "Asker":
    return _asker(tmp_path_factory.mktemp("ladder"))


@given(steps=st.integers(1, 30), holes=st.sets(st.integers(0, 39), max_size=20))
def test_silence_is_what_silver_has_without_those_readings(steps: int, holes: set[int]) -> None:
    from measuring.outages import silence
    from measuring.series import Series, grid

    values = np.random.default_rng(0).normal(size=(40, 2))
    values[list(holes), 0] = np.nan
    time = np.datetime64("2024-01-01", "s") + np.arange(40) * np.timedelta64(1, "h")
    whole = Series(time, ("a", "b"), values)
    without = values.copy()
    without[40 - steps :, 0] = np.nan
    expected, own = grid(whole.put(without), FILL), silence(grid(whole, FILL), ("a",), steps, FILL)
    np.testing.assert_array_equal(own.values, expected.values)
    np.testing.assert_array_equal(own.age, expected.age)


def test_baselines_use_last_measured_season_and_value() -> None:
    from measuring.outages import last_before, season_before

    values = np.arange(100.0)
    assert season_before(values, 24, 90, 96) == 72
    assert season_before(values, 24, 90, 90) == 90, "a target that was measured is known"
    assert season_before(values, 24, 30, 96) == 24, "what lies within the outage does not count"
    values[[72, 24]] = np.nan
    assert season_before(values, 24, 90, 96) == 48
    assert season_before(values, 24, 30, 96) == 0
    assert np.isnan(season_before(values, 200, 90, 96))
    assert last_before(values, 72) == 71
    assert np.isnan(last_before(values * np.nan, 50))


def test_regimes_name_what_a_feed_has() -> None:
    from measuring.outages import regimes
    from measuring.series import declare

    feed = declare("made", {"a": ("degF", -60.0, 130.0), "b": ("degF", -60.0, 130.0)}, "a", known_ahead=("b",))
    names = [each.name for each in regimes(WindowSpec.of(feed, "a"))]
    assert "covariates absent" in names
    assert not {"b gone", "a gone", "station silent 24 h"} & {*names}


def test_answers_do_not_depend_on_what_is_silent(asker: "Asker") -> None:
    from measuring.outages import Regime

    regime, grid = Regime("target silent", 3, ("temperature",)), asker.prepared.grids["here"]
    at = [row for _, row in asker.origins()][5]
    garbage = grid.values.copy()
    garbage[at - 2 : at + 1, 0] = 1000
    other = replace(asker, prepared=replace(asker.prepared, grids={"here": replace(grid, values=garbage)}))
    own, same = (each.prediction(regime, "here", at).forecasts for each in (asker, other))
    assert own == same
    whole = [each.prediction(Regime("nothing silent"), "here", at).forecasts for each in (asker, other)]
    assert whole[0] != whole[1]


def test_table_names_what_is_answered_badly(asker: "Asker") -> None:
    from degradation import rows_of
    from measuring.outages import Regime

    answers = asker.ask(Regime("nothing silent"))
    horizons = asker.prepared.spec.horizons
    lines, _ = rows_of(answers, horizons)
    assert [line[:3] for line in lines] == [["nothing silent", "1", "100%"], ["", "6", "100%"], ["", "24", "100%"]]
    errors = np.nanmean(np.abs(answers.level - answers.actual), axis=0)
    assert [float(line[3]) for line in lines] == pytest.approx(errors.tolist(), abs=0.006)
    lines, reached = rows_of(replace(answers, lower=answers.level, upper=answers.level), horizons)
    assert not reached
    assert all(line[-1].endswith("!") for line in lines)
    lines, reached = rows_of(replace(answers, level=np.full_like(answers.level, np.nan)), horizons)
    assert not reached
    assert [line[2] for line in lines] == ["0%"] * 3


def test_states_lead_to_answers_and_refusals(tmp_path: Path) -> None:
    from degradation import states

    text = dict(states(tmp_path / "home", _asker(tmp_path / "home").prepared))
    assert "stale_feed" in text["all silent for 1 d"]
    assert text["home out of reach"].startswith("answers from")
    assert text["restart without a tail"].startswith("refused (503)")
