"""The healing benchmark's own parts: what is injected is what is said, errors are of the right rows, a loop closes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

SENSORS = ("stuck", "spikes", "unit_change", "drop_out", "clock_jump")
WORLDS = ("level_shift", "trend", "variance", "dynamics", "heatwave", "moved")


def _climate(seed: int, days: int = 80):
    from measuring.series import climate

    return climate(np.random.default_rng(seed), days)


@given(seed=st.integers(0, 10_000), name=st.sampled_from(SENSORS + WORLDS), onset=st.integers(30 * 24, 50 * 24))
def test_injection_changes_nothing_before_onset_or_after_end(seed: int, name: str, onset: int) -> None:
    from measuring import faults

    series = _climate(seed % 5)
    made = getattr(faults, name)(series, np.random.default_rng(seed), onset)
    again = getattr(faults, name)(series, np.random.default_rng(seed), onset)
    np.testing.assert_allclose(made.measured.values, again.measured.values, rtol=1e-12)
    np.testing.assert_array_equal(made.measured.values[:onset], series.values[:onset])
    np.testing.assert_array_equal(made.measured.values[made.end :], series.values[made.end :])
    assert not np.array_equal(made.measured.values[onset : made.end], series.values[onset : made.end], equal_nan=True)
    if name in SENSORS:
        assert made.cause == "sensor"
        np.testing.assert_array_equal(made.world.values, series.values)  # only what is measured lies
    else:
        assert (made.cause, made.end) == ("world", len(series.time))
        np.testing.assert_array_equal(made.world.values, made.measured.values)


def test_injected_sensor_fault_matches_its_name() -> None:
    from measuring import faults

    series, onset, rng = _climate(1), 40 * 24, np.random.default_rng(0)
    true = series.values[:, 0]
    stuck = faults.stuck(series, rng, onset)
    assert set(stuck.measured.values[onset : stuck.end, 0]) == {true[onset - 1]}
    unit = faults.unit_change(series, rng, onset)
    np.testing.assert_allclose(unit.measured.values[onset : unit.end, 0] * 1.8 + 32, true[onset : unit.end])
    gone = faults.drop_out(series, rng, onset)
    assert np.isnan(gone.measured.values[onset : gone.end]).all()
    late = faults.clock_jump(series, rng, onset)
    hours = int(np.isnan(late.measured.values[onset : late.end, 0]).sum())
    assert 3 <= hours <= 10
    shown = late.measured.values[onset + hours : late.end, 0]
    np.testing.assert_array_equal(shown, true[onset : late.end - hours])  # never a reading from the future
    spiky = faults.spikes(series, rng, onset).measured.values[:, 0] - true
    assert 0.02 < np.mean(spiky[onset : onset + 120] != 0) < 0.2


def test_grid_fills_gaps_like_silver() -> None:
    from measuring.series import Series, grid

    values = np.array([np.nan, 1.0, np.nan, np.nan, np.nan, 2.0])[:, None]
    time = np.datetime64("2024-01-01", "s") + np.arange(6) * np.timedelta64(1, "h")
    filled = grid(Series(time, ("t",), values), 2)
    np.testing.assert_array_equal(filled.values[:, 0], np.float32([np.nan, 1, 1, 1, np.nan, 2]))
    np.testing.assert_array_equal(filled.age[:, 0], np.float32([np.nan, 0, 1, 2, np.nan, 0]))


def test_errors_belong_to_outcome_at_origin_and_horizon() -> None:
    from measuring.champions import rmse
    from measuring.loop import outcome_errors

    target = np.arange(10.0)
    errors = outcome_errors(target, np.zeros((10, 2)), (1, 3))
    assert errors[2].tolist() == [3, 5]
    assert np.isnan(errors[7, 1])
    assert np.isnan(errors[9]).all()
    assert rmse(np.array([[3.0, 1.0], [4.0, np.nan], [np.nan, 1.0]])) == pytest.approx((np.sqrt(12.5) + 1) / 2)


def test_judging_and_calibration_share_no_series_and_no_seed() -> None:
    from calibration import BASES, QUIETS
    from measuring.scenarios import AIRPORTS, JUDGES, NATURAL

    assert BASES.salt != JUDGES.salt
    assert not set(BASES.names) & set(AIRPORTS)
    assert not set(QUIETS) & set(NATURAL)
    made = [bases.draw(1)[0].values for bases in (JUDGES, BASES)]
    assert not np.allclose(made[0], made[1])


@pytest.mark.parametrize(("name", "truth"), [("MY1 air quality", "none"), ("Elec2", "world"), ("bike growth", "world")])
def test_natural_cases_begin_where_publishers_say(name: str, truth: str) -> None:
    from measuring.scenarios import NATURAL
    from measuring.series import DATA

    if not DATA.is_dir():
        pytest.skip(f"the test data are not at {DATA} (AEROCAST_TEST_DATA)")
    case = NATURAL[name][0](0, "linear")
    hit, rows = case.injected, len(case.injected.world.time)
    assert hit.cause == truth
    assert 0 < case.live <= hit.onset < rows - case.after
    steps = np.diff(hit.world.time)
    assert (steps == steps[0]).all()
    if name == "Elec2":  # constant until Victoria joins
        transfer = hit.world.values[:, hit.world.columns.index("transfer")]
        assert len(set(transfer[: hit.onset])) == 1
        assert len(set(transfer[hit.onset :])) > 100


def test_midwest_stream_changes_unit_at_onset() -> None:
    from measuring.scenarios import NATURAL
    from measuring.series import DATA

    if not DATA.is_dir():
        pytest.skip(f"the test data are not at {DATA} (AEROCAST_TEST_DATA)")
    hit = NATURAL["degF to degC, Midwest"][0](2, "linear").injected
    before, after = (
        hit.measured.values[rows, 0] for rows in (slice(hit.onset - 2, hit.onset), slice(hit.onset, hit.onset + 4))
    )
    assert np.nanmin(before) > 10
    assert np.nanmax(after) < -10
    assert np.nanmin(hit.world.values[hit.onset : hit.onset + 4, 0]) == pytest.approx(12.2)


@pytest.mark.e2e
def test_loop_detects_learnable_change_and_recovers() -> None:
    """One made climate through the whole loop: hot, retrained for the new regime, promoted, better than before."""
    from measuring.scenarios import injected
    from measuring.tally import Tally, first_champion, run

    calm, dynamics, stuck = injected(1, ["calm", "dynamics", "stuck sensor"])
    champion = first_champion(calm)
    found: list[Tally] = [run(case, champion) for case in (calm, dynamics, stuck)]
    quiet, drift, fault = found
    assert (quiet.expected, quiet.retrains, quiet.alarms) == ("quiet", 0, 0)
    assert quiet.errors["after"].model < quiet.errors["after"].persistence
    assert drift.expected == "drift"
    assert drift.diagnosis == "concept_drift"
    assert drift.retrains >= 1
    assert drift.errors["after"].model < drift.frozen
    assert (fault.expected, fault.diagnosis, fault.retrains) == ("sensor", "sensor_fault", 0)


def test_tables_report_missed_target(capsys: pytest.CaptureFixture[str]) -> None:
    from healing import show_diagnoses, show_errors, show_targets, show_wrong
    from measuring.tally import Errors, Tally

    spans = {span: Errors(1.0, 2.0, 3.0) for span in ("before", "during", "after")}

    def told(scenario: str, expected: str, called: str, right: bool, retrains: int) -> Tally:
        must = expected == "drift"
        return Tally(
            scenario, 0, "made", expected, 0.3, called, right,
            found=right if must else None, named=None, delay=48 if must else None, retrains=retrains, promoted=retrains,
            unwanted=0 if must else retrains, alarms=0 if must else retrains, windows=1000,
            errors=spans, oracle=1.0, frozen=2.0, ratio=1.05, recovery=240,
        )  # fmt: skip

    good = [told("dynamics", "drift", "concept_drift", True, 1), told("calm", "quiet", "ok", True, 0)]
    assert show_targets(good)
    bad = [*good, told("calm", "quiet", "concept_drift", False, 1)]
    assert not show_targets(bad)
    groups = {"calm": bad[1:], "dynamics": bad[:1]}
    show_diagnoses(groups)
    show_errors(groups)
    show_wrong(bad, 5)
    said = capsys.readouterr().out
    assert "MISSED" in said
    assert "1 runs went wrong" in said
    assert "1.00 / 2.00 / 3.00" in said
