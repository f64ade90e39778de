"""What is known ahead in answers: from the feed's vintages or from the request, and a forecast without it when late."""

from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest
from litestar.exceptions import HTTPException

from aerocast.contracts.manifest import ColumnInfo, Graph, Graphs
from aerocast.features.ahead import value_names
from aerocast.features.features import feature_names
from aerocast.features.grid import Ahead, Grid, WindowSpec
from aerocast.models.kinds._onnx import GraphBuilder
from aerocast.releases import release
from serving import parsing, predictor
from serving.schemas import Prediction, PredictRequest
from tests.factories import releases, tails
from tests.harness.reader import Reader

OLDEST, LATE = 2, (1.0, 1.5, 3.0)
SPEC = msgspec.structs.replace(releases.spec(), ahead=(Ahead("outlook", OLDEST),))
LEADS = sorted({horizon + age for horizon in releases.HORIZONS for age in range(OLDEST + 1)})


def graph(spec: WindowSpec) -> bytes:
    """What is known ahead, and the last value where it is not."""
    names, builder = feature_names(spec), GraphBuilder()
    values = builder.columns("features", [names.index(name) for name in value_names(spec)])
    last = builder.columns("features", [names.index("temperature_lag0")])
    builder.op("Where", builder.op("IsNaN", values), last, values, output="forecast")
    return builder.model(len(names), len(releases.HORIZONS)).SerializeToString()


def vintage(age: int | None) -> Grid:
    """JFK's readings, with a vintage of so many steps ago that says 50 + lead; None: none is young enough."""
    made = tails.grid("JFK")
    own = np.full((len(made.time), len(LEADS)), np.nan, dtype=np.float32)
    ages = own.copy()
    if age is not None:
        own[-1], ages[-1] = 50 + np.array(LEADS), age
    columns = (*made.columns, *(SPEC.ahead[0].column(lead) for lead in LEADS))
    return replace(made, columns=columns, values=np.hstack([made.values, own]), age=np.hstack([made.age, ages]))


def reader(home: Path, age: int | None, spec: WindowSpec = SPEC) -> Reader:
    made = releases.manifest(window=spec)
    outlook = tuple(ColumnInfo(f"outlook_ahead{lead}", "", "degF", (-40.0, 125.0)) for lead in LEADS)
    feed = msgspec.structs.replace(made.feed, columns=(*made.feed.columns, *outlook))
    intervals = msgspec.structs.replace(releases.intervals(), late=LATE)
    graphs = Graphs(Graph("model.onnx", tuple(feature_names(spec)), intervals))
    made = msgspec.structs.replace(made, feed=feed, graphs=graphs)
    release.promote(home, "noaa", "temperature", release.write(home, made, {"model.onnx": graph(spec)}))
    others = {name: vintage(age) for name in ("LGA", "EWR")}
    tails.write_tail(home, JFK=vintage(age), **{name: replace(each, station=name) for name, each in others.items()})
    found = Reader(home)
    assert found.look().status == "ok"
    return found


def ask(found: Reader, **body: object) -> Prediction:
    request = parsing.parse(msgspec.json.encode({"station": "JFK", **body}))
    assert isinstance(request, PredictRequest)
    return predictor.predict(found.store, request).prediction


@pytest.mark.parametrize("age", [0, 1, OLDEST])
def test_newest_vintage_of_feed_is_used_with_its_age(tmp_path: Path, age: int) -> None:
    answer = ask(reader(tmp_path, age))
    assert answer.covariates
    assert (answer.covariates.used, answer.covariates.age, answer.covariates.source) == (True, age, "feed")
    assert [each.value for each in answer.forecasts] == [50 + horizon + age for horizon in releases.HORIZONS]
    assert not answer.degraded


def test_model_without_them_answers_when_they_are_late(tmp_path: Path) -> None:
    answer = ask(reader(tmp_path, None))
    assert answer.covariates
    assert (answer.covariates.used, answer.covariates.age) == (False, None)
    assert answer.degraded
    assert [(reason.code, reason.column) for reason in answer.reasons] == [("late_covariates", "outlook")]
    assert len({each.value for each in answer.forecasts}) == 1
    widths = [each.upper - each.lower for each in answer.forecasts]
    assert widths == pytest.approx([2 * releases.HALF * factor for factor in LATE], abs=1e-3)


def test_request_counts_before_feed(tmp_path: Path) -> None:
    found = reader(tmp_path, 1)
    answer = ask(found, covariates={"outlook": [60, 61.5, 62]})
    assert [each.value for each in answer.forecasts] == [60, 61.5, 62]
    assert answer.covariates
    assert (answer.covariates.used, answer.covariates.age, answer.covariates.source) == (True, 0, "request")
    assert [each.value for each in ask(found).forecasts] == [50 + horizon + 1 for horizon in releases.HORIZONS]


def test_what_is_assumed_to_be_perfect_comes_with_the_request(tmp_path: Path) -> None:
    found = reader(tmp_path, None, msgspec.structs.replace(SPEC, ahead=(Ahead("windspeed", OLDEST, is_perfect=True),)))
    without = ask(found)
    assert without.covariates
    assert (without.covariates.used, [reason.code for reason in without.reasons]) == (False, ["late_covariates"])
    answer = ask(found, covariates={"windspeed": [3, 4, 5]})
    assert [each.value for each in answer.forecasts] == [3, 4, 5]
    assert answer.origin == without.origin
    assert answer.covariates
    assert (answer.covariates.used, answer.degraded) == (True, False)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"covariates": {"rain": [1, 2, 3]}}, "covariates.rain"),
        ({"covariates": {"outlook": [1, 2]}}, "covariates.outlook"),
        ({"covariates": {"outlook": [1, 2, 1e6]}}, "covariates.outlook[2]"),
        ({"covariates": {"outlook": [1, "warm", 3]}}, "covariates[...][1]"),
        ({"covariates": {"outlook": [1, 2, 3]}, "sequence": [[1, 2, 3]] * 5}, "covariates"),
    ],
)
def test_wrong_covariates_are_named(tmp_path: Path, body: dict[str, object], field: str) -> None:
    found = reader(tmp_path, 1)
    with pytest.raises(HTTPException) as caught:
        ask(found, **body)
    assert caught.value.status_code == 422
    assert caught.value.extra["field"] == field  # type: ignore[index,call-overload]


def test_release_that_knows_nothing_ahead_says_so(http: httpx.Client) -> None:
    assert http.post("/predict", json={"station": "JFK"}).json()["covariates"] is None
    answer = http.post("/predict", json={"station": "JFK", "covariates": {"outlook": [1, 2, 3]}})
    assert (answer.status_code, answer.json()["field"]) == (422, "covariates.outlook")
    assert "knows nothing ahead" in answer.json()["rule"]
