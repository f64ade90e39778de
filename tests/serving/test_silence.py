"""A station that is silent beyond the gap policy: forecast from now, by the last measured season, and wider."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from litestar.exceptions import HTTPException

from aerocast.contracts.manifest import Graph, Graphs
from aerocast.contracts.outages import EXTENTS, Outages
from aerocast.features.grid import Grid
from serving import predictor
from serving.schemas import Prediction, PredictRequest
from tests.factories.releases import HALF, HORIZONS, intervals, manifest, publish
from tests.factories.tails import NEWEST, grid, write_tail
from tests.harness.reader import Reader

AGES = (6, 24, 192)
# By class of age, then by extent: its number and the horizon's place show which is used.
FACTORS = tuple(
    tuple(tuple(2.0 + k + extent / 10 + at / 100 for at in range(len(HORIZONS))) for extent in range(EXTENTS))
    for k in range(len(AGES))
)
LEARNED = Outages(AGES, FACTORS)
ROWS = 240


def silent(steps: int, columns: tuple[int, ...] = (0,)) -> Grid:
    """JFK, of which these columns are silent in the newest steps."""
    made = grid("JFK", ROWS)
    for column in columns:
        made.values[-steps:, column] = np.nan
        made.age[-steps:, column] = np.nan
    return made


def reader(home: Path, own: Grid, outages: Outages | None = LEARNED) -> Reader:
    """A server of a release that says the newest value, and of this tail of JFK."""
    known = msgspec.structs.replace(intervals(), outages=outages)
    publish(home, 1, graphs=Graphs(Graph("model.onnx", manifest().graphs.station.features, known)))
    write_tail(home, JFK=own, LGA=grid("LGA", ROWS), EWR=grid("EWR", ROWS))
    store = Reader(home)
    assert store.look().status == "ok"
    return store


def ask(server: Reader, **more: float) -> Prediction:
    return predictor.predict(server.store, PredictRequest(station="JFK"), more).prediction


def half_widths(answer: Prediction) -> list[float]:
    return [(each.upper - each.lower) / 2 for each in answer.forecasts]


@pytest.mark.parametrize(("steps", "number"), [(7, 1), (24, 1), (25, 2), (168, 2), (190, 2)])
def test_silence_is_bridged_from_now(tmp_path: Path, steps: int, number: int) -> None:
    answer = ask(reader(tmp_path, silent(steps)))
    assert answer.origin
    assert np.datetime64(answer.origin.replace(tzinfo=None), "s") == NEWEST
    last = 40 + (ROWS - 1 - 24 * -(-steps // 24)) / 4
    assert [each.value for each in answer.forecasts] == pytest.approx([last] * 3)
    (reason,) = answer.reasons
    assert (reason.code, reason.column, reason.age) == ("bridged", "temperature", steps)
    assert answer.degraded
    expected = [HALF * (2 + number + 0.3 + at / 100) for at in range(3)]
    assert half_widths(answer) == pytest.approx(expected, abs=1e-3)


def test_width_follows_what_else_is_silent(tmp_path: Path) -> None:
    answer = ask(reader(tmp_path, silent(30, (0, 1, 2))))
    assert half_widths(answer) == pytest.approx([HALF * (4.1 + at / 100) for at in range(3)], abs=1e-3)
    assert {each.code for each in answer.reasons} == {"bridged", "missing"}


def test_filled_value_is_wider_as_well(tmp_path: Path) -> None:
    made = grid("JFK", ROWS)
    made.values[-3:, 0], made.age[-3:, 0] = made.values[-4, 0], [1, 2, 3]
    answer = ask(reader(tmp_path, made))
    assert [each.code for each in answer.reasons] == ["gap_filled"]
    assert half_widths(answer) == pytest.approx([HALF * (2.3 + at / 100) for at in range(3)], abs=1e-3)
    assert half_widths(ask(reader(tmp_path / "whole", grid("JFK", ROWS)))) == pytest.approx([HALF] * 3)


def test_station_that_is_back_is_forecast_from_its_newest_value(tmp_path: Path) -> None:
    made = silent(60)
    whole = grid("JFK", ROWS)
    made.values[-2:], made.age[-2:] = whole.values[-2:], 0
    answer = ask(reader(tmp_path, made))
    assert answer.origin
    assert np.datetime64(answer.origin.replace(tzinfo=None), "s") == NEWEST
    assert answer.forecasts[0].value == pytest.approx(float(whole.values[-1, 0]))


def test_client_ends_a_silence_by_its_own_value(tmp_path: Path) -> None:
    answer = ask(reader(tmp_path, silent(30)), temperature=61.0)
    assert answer.forecasts[0].value == 61.0
    assert not answer.reasons
    assert half_widths(answer)[0] > HALF, "what lies before that value is still bridged"


def test_silence_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HTTPException, match="no recent readings"):
        ask(reader(tmp_path, silent(ROWS)))


def test_release_that_has_not_learned_from_silences_starts_before_them(tmp_path: Path) -> None:
    answer = ask(reader(tmp_path, silent(30), None))
    assert answer.origin
    assert np.datetime64(answer.origin.replace(tzinfo=None), "s") == NEWEST - np.timedelta64(30, "h")
    assert [(each.code, each.age) for each in answer.reasons] == [("stale_station", 30)]
    assert half_widths(answer) == pytest.approx([HALF] * 3)


def test_silent_others_do_not_lend_their_bridges(tmp_path: Path) -> None:
    server = reader(tmp_path, silent(30))
    own = ask(server)
    quiet = {name: replace(silent(30), station=name) for name in ("LGA", "EWR")}
    write_tail(tmp_path, JFK=silent(30), **quiet)
    assert server.look().status == "ok"
    alone = ask(server)
    assert [each.value for each in alone.forecasts] == [each.value for each in own.forecasts]
    assert half_widths(alone) == pytest.approx([HALF * (4.2 + at / 100) for at in range(3)], abs=1e-3)
