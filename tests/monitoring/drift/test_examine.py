"""One examination: what outranks what, what is carried on, and that the same input has the same answer."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from aerocast.contracts.drift_state import Diagnosis, DriftState, Fault, Heat
from aerocast.monitoring.drift.errors import STRANGE
from aerocast.monitoring.drift.examine import Profile, examine, profile, steps_needed
from aerocast.monitoring.drift.report import because, plot, report
from tests.factories import worlds
from tests.factories.worlds import HOUR, STATION, YEAR, Reals
from tests.harness.assertions import assert_close

FEED = worlds.feed()
HALF, SCORES = worlds.test_scores(worlds.climate(99))
MANIFEST = worlds.manifest(FEED, SCORES)
PAST: Profile = profile(FEED, worlds.grid({"temperature": worlds.climate(1, 2 * YEAR)}))
LIVE = worlds.START + 2 * YEAR * HOUR  # the calendar goes on, so a live series begins with January
SIZE, ONSET = 60 * 24, 40 * 24


def heatwave(values: Reals) -> Reals:
    return worlds.heatwave(values, ONSET)


def look(values: Reals, upto: int = SIZE, known: tuple[Fault, ...] = ()) -> tuple[Diagnosis, tuple[Fault, ...]]:
    recent = worlds.grid({"temperature": values[:upto]}, LIVE)
    lived = worlds.outcomes(np.nan_to_num(values[:upto], nan=50.0), HALF, LIVE)
    now = moment(upto - 1)
    return examine(FEED, "temperature", STATION, lived, recent, PAST, MANIFEST, now, known)


def moment(row: int) -> datetime:
    return (LIVE + row * HOUR).astype(datetime).replace(tzinfo=UTC)


@pytest.mark.parametrize("seed", range(4))
def test_calm_series_is_ok(seed: int) -> None:
    diagnosis, faults = look(worlds.climate(seed, SIZE))
    assert (diagnosis.verdict, diagnosis.onset, faults) == ("ok", None, ())
    assert {each.subject for each in diagnosis.evidence} == {"temperature", STATION}
    kinds = {each.test for each in diagnosis.evidence}
    assert {"flat_line", "spikes", "unit_change", "drop_out", "clock_jump", "psi", "adwin", "coverage"} <= kinds
    assert not any(each.fired for each in diagnosis.evidence if each.test != "coverage")


def test_heat_ramp_is_concept_drift() -> None:
    diagnosis, faults = look(heatwave(worlds.climate(1, SIZE)))
    assert (diagnosis.verdict, faults) == ("concept_drift", ())
    assert diagnosis.onset is not None
    assert abs(diagnosis.onset - moment(ONSET)) <= timedelta(days=4)


@pytest.mark.parametrize("seed", range(4))
def test_harder_weather_is_not_concept_drift(seed: int) -> None:
    rough = worlds.climate(seed, SIZE, rough=2.0)
    diagnosis, _ = look(worlds.with_change(worlds.climate(seed, SIZE), ONSET, lambda _: rough))
    assert diagnosis.verdict in ("ok", "covariate_shift")


def test_only_unlearned_season_allows_larger_errors() -> None:
    values = worlds.climate(2, SIZE)
    half_a_year = worlds.grid({"temperature": worlds.climate(1, 120 * 24)}, worlds.START + 180 * 24 * HOUR)
    limits = []
    for past in (PAST, profile(FEED, half_a_year)):
        recent, lived = worlds.grid({"temperature": values}, LIVE), worlds.outcomes(values, HALF, LIVE)
        found, _ = examine(FEED, "temperature", STATION, lived, recent, past, MANIFEST, moment(SIZE - 1))
        limits.append(next(each.threshold for each in found.evidence if each.test == "foreseeable_168"))
    assert limits[1] == pytest.approx(STRANGE * limits[0])


def test_level_followed_by_model_is_covariate_shift() -> None:
    ramp = np.clip((np.arange(SIZE) - 30 * 24) / 240, 0, 1)
    diagnosis, faults = look(worlds.climate(1, SIZE) + 45 * ramp)
    assert (diagnosis.verdict, faults) == ("covariate_shift", ())


def test_sensor_fault_outranks_drift() -> None:
    values = heatwave(worlds.climate(1, SIZE))
    values[-30:] = values[-31]
    diagnosis, [fault] = look(values)
    assert diagnosis.verdict == "sensor_fault"
    assert (fault.column, fault.kind, fault.start, fault.end) == ("temperature", "flat_line", moment(SIZE - 30), None)
    assert diagnosis.onset == fault.start


def test_fault_lasts_until_it_ends() -> None:
    values = worlds.climate(1, SIZE)
    values[1000:1100] = (values[1000:1100] - 32) / 1.8
    _, [first] = look(values, 1020)
    _, [later] = look(values, 1080, (first,))
    assert (later.start, later.end) == (first.start, None)
    diagnosis, [over] = look(values, 1120, (later,))
    assert (over.start, over.end) == (first.start, moment(1100))
    assert diagnosis.verdict == "ok", "forecasts from broken readings speak for nothing"
    diagnosis, faults = look(values, 1300)
    assert (diagnosis.verdict, faults) == ("ok", ())


def test_same_input_gives_same_verdict_and_is_unchanged() -> None:
    values = heatwave(worlds.climate(3, SIZE))
    recent = worlds.grid({"temperature": values}, LIVE)
    before = recent.values.copy()
    grid = worlds.grid({"temperature": worlds.climate(1, 2 * YEAR)})
    lived = worlds.outcomes(values, HALF, LIVE)
    asked = (FEED, "temperature", STATION, lived, recent)
    now = moment(SIZE - 1)
    one, two = (examine(*asked, past, MANIFEST, now) for past in (grid, PAST))
    assert_close(one, two)
    assert_close(one, examine(*asked, PAST, MANIFEST, now))
    assert np.array_equal(before, recent.values)


def test_longer_grid_than_reach_changes_nothing() -> None:
    values = worlds.climate(3, SIZE)
    lived = worlds.outcomes(values, HALF, LIVE)
    whole = worlds.grid({"temperature": values}, LIVE)
    now = moment(SIZE - 1)
    asked = (PAST, MANIFEST, now)
    one, two = (
        examine(FEED, "temperature", STATION, lived, g, *asked) for g in (whole, whole.tail(steps_needed(FEED)))
    )
    assert_close(one, two)


def test_sensors_are_examined_without_outcomes() -> None:
    values = worlds.climate(1, SIZE)
    values[-30:] = values[-31]
    nothing = worlds.outcomes(values, HALF, LIVE)
    nothing = nothing.at(np.zeros(len(nothing.time), dtype=bool))
    recent = worlds.grid({"temperature": values}, LIVE)
    diagnosis, faults = examine(FEED, "temperature", STATION, nothing, recent, PAST, MANIFEST, moment(SIZE - 1))
    assert (diagnosis.verdict, diagnosis.rmse, diagnosis.outcomes, len(faults)) == ("sensor_fault", None, 0, 1)


def test_report_is_json_with_reasons() -> None:
    values = heatwave(worlds.climate(1, SIZE))
    diagnosis, faults = look(values)
    calm, _ = look(worlds.climate(1, SIZE))
    state = DriftState(
        FEED.name, diagnosis.judged_at, diagnosis.judged_at, (diagnosis,), faults, (Heat("temperature"),)
    )
    made = json.loads(json.dumps(report(state)))
    assert made["verdicts"][0]["verdict"] == "concept_drift"
    assert "%" in made["verdicts"][0]["because"]
    assert msgspec.convert(made["state"], DriftState) == state
    assert "no test fired" in because(calm)
    recent = worlds.grid({"temperature": values}, LIVE)
    figure = plot(
        FEED, "temperature", state, {STATION: worlds.outcomes(values, HALF, LIVE)}, {STATION: (recent, PAST)}, [calm]
    )
    assert figure.axes[0].get_title() == f"{STATION}: concept_drift"
    assert len(figure.axes) == 5
    assert len(plot(FEED, "temperature", state, {}).axes) == 3
