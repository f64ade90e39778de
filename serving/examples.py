"""Examples of the API's document that work as they stand: made from what is served at the moment."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from serving.hot_swap import ServingStore
from serving.loading import Served, Tail
from serving.notices import KINDS
from serving.observations import Observations
from serving.samples import VALUES, Sampler
from serving.timeseries import SECONDS
from serving.timeseries_schemas import UNIVARIATE

Examples = dict[str, dict[str, Any]]
JSON, LINES, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
_SERIES = {
    "model": "noaa/temperature",
    "inputs": [{"type": UNIVARIATE, "name": "JFK", "series": [40.5, 41.0, 41.2, 41.9, 42.3], "frequency": "hour"}],
    "options": {"horizon": 24, "quantiles": [0.1, 0.9]},
}
STATION = VALUES["station"][1]
_READING = {"station": STATION, "time": "2026-01-05T12:00:00Z", "temp": None}


def with_examples(document: dict[str, Any], store: ServingStore, observations: Observations) -> dict[str, Any]:
    """A copy of the document, with examples for all bodies, parameters and answers."""
    copied: dict[str, Any] = _any_of(document)
    first = [next(iter(targets.values())) for targets in store.index.values()]
    bodies = _bodies(first, store, observations)
    names: dict[str, list[Any]] = {
        "feed": list(store.index),
        "target": list(dict.fromkeys(target for targets in store.index.values() for target in targets)),
        "station": list(dict.fromkeys(each.id for served in first for each in served.feed.stations[:2])),
    }
    sampler = Sampler(copied, {name: values[0] for name, values in names.items() if values})
    for path, methods in copied["paths"].items():
        choices = names | {"name": ["drift.png"], "kind": [[kind] for kind in KINDS]}
        if path.startswith("/v1/observations"):
            choices["feed"] = observations.feed_names()
        for operation in methods.values():
            for parameter in operation.get("parameters", []):
                own = choices.get(parameter["name"]) or [sampler.value(parameter.get("schema", {}), parameter["name"])]
                parameter["examples"] = {_label(value): {"value": value} for value in own}
            if content := operation.get("requestBody", {}).get("content"):
                for media_type, examples in bodies.get(path, {}).items():
                    content[media_type]["examples"] = examples
            for status, described in operation["responses"].items():
                for media_type, answer in described.get("content", {}).items():
                    answer["examples"] = {"answer": sampler.answer(status, described, media_type)}
    return copied


def _any_of(document: Any) -> Any:
    """A copy in which a union is what either fits: Litestar says that only one does."""
    if isinstance(document, dict):
        return {"anyOf" if name == "oneOf" else name: _any_of(value) for name, value in document.items()}
    return [_any_of(each) for each in document] if isinstance(document, list) else document


def _label(value: Any) -> str:
    """What a person writes for it into an address."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _bodies(first: Sequence[Served], store: ServingStore, observations: Observations) -> dict[str, dict[str, Examples]]:
    """Examples of bodies by path and media type; without a release, such as a feed `noaa` would have."""
    predict, pairs = Examples(), Examples()
    for served in first:
        own = f" of {served.feed.name}" if len(first) > 1 else ""
        predict |= _questions(served, store.tail(served.feed.name), own)
        pairs[f"pair{own}"] = _example(f"A pair of numbers{own}", _names(served) | _pair(served))
    series = {name: each for served in first for name, each in _series(served, store.tail(served.feed.name)).items()}
    predict = predict or {"station": _example("A station's newest readings", {"station": STATION})}
    pairs = pairs or {"pair": _example("A pair of numbers", {"predicted": 41.3, "actual": 40.0})}
    return {
        "/v1/predict": {JSON: predict},
        "/v1/explain": {JSON: predict},
        "/v1/predict/batch": {
            JSON: {"all": _example("All of these", [each["value"] for each in predict.values()])},
            ARROW: {"one": _example("An Arrow IPC stream of columns station, feed, target", "bytes")},
        },
        "/v1/timeseries/forecast": {JSON: series or {"series": _example("One series", _SERIES)}},
        "/v1/eval": {JSON: pairs},
        "/v1/routine-retrain-check": {JSON: {"check": _example("Only if due", {})}},
        "/v1/observations/{feed}": {
            JSON: _readings(observations) or {"one": _example("One reading", _READING)},
            LINES: {"one": _example("One reading a line", f"{json.dumps(_READING)}\n")},
            ARROW: {"one": _example("An Arrow IPC stream of columns such as station, time, temp", "bytes")},
        },
    }


def _series(served: Served, tail: Tail | None) -> Examples:
    rows, newest = _steps(served, tail)
    window = served.manifest.window
    start = datetime.fromisoformat(newest) - timedelta(seconds=window.cadence) * (len(rows) - 1)
    unit = next(each for each in ("day", "hour", "minute", "second") if window.cadence % SECONDS[each] == 0)
    at = window.columns.index(served.manifest.target)
    levels = served.station.intervals.levels
    own = {
        "type": UNIVARIATE,
        "name": served.feed.stations[0].id,
        "series": [row[at] for row in rows],
        "frequency": unit,
        "frequency_multiple": window.cadence // SECONDS[unit],
        "start_timestamp": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    options = {"horizon": served.manifest.horizons[-1], "quantiles": [levels[0], levels[-1]]}
    value = {"model": "/".join(served.key), "inputs": [own], "options": options}
    return {f"{served.feed.name}": _example(f"Newest values of {served.manifest.target}", value)}


def _names(served: Served) -> dict[str, Any]:
    return {"feed": served.feed.name, "target": served.manifest.target}


def _questions(served: Served, tail: Tail | None, own: str) -> Examples:
    station = served.feed.stations[0].id
    rows, time = _steps(served, tail)
    sequence = {**_names(served), "sequence": rows, "time": time}
    many = f"{len(rows)} steps of {', '.join(served.manifest.window.columns)}{own}"
    return {
        f"station{own}": _example(f"A station's newest readings{own}", {**_names(served), "station": station}),
        f"sequence{own}": _example(many, sequence),
    }


def _steps(served: Served, tail: Tail | None) -> tuple[list[list[float]], str]:
    """The newest steps that were measured somewhere, or the middle of what is physically possible; and their time."""
    window, end = served.manifest.window, served.manifest.lineage.training_end
    for grid in tail.grids.values() if tail else ():
        if {*window.columns} <= {*grid.columns}:
            values = grid.values[:, [grid.columns.index(name) for name in window.columns]]
            for last in range(len(values), window.steps - 1, -1):
                newest = values[last - window.steps : last]
                if np.isfinite(newest).all():
                    return [[round(value, 2) for value in row] for row in newest.tolist()], f"{grid.time[last - 1]}Z"
    middle = [round(float(low + high) / 2, 2) for low, high in served.limits.tolist()]
    return [middle] * window.steps, end.strftime("%Y-%m-%dT%H:%M:%SZ")


def _pair(served: Served) -> dict[str, float]:
    column = served.feed.column(served.manifest.target)
    value = round(sum(column.range) / 2, 1) if column else 1.0
    return {"predicted": value, "actual": value}


def _readings(observations: Observations) -> Examples:
    """Example readings without values: sending one as it stands changes no forecast."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")
    examples: Examples = {}
    feeds = observations.feed_names()
    for feed in feeds:
        definition, own = observations.of(feed), f" of {feed}" if len(feeds) > 1 else ""
        if not definition or any("." in name for name in definition.measured):
            continue  # nested names need a body of the source's own form
        fields = dict.fromkeys(definition.measured)
        rows = [{definition.station[-1]: id, definition.time[-1]: now, **fields} for id in definition.stations[:2]]
        examples[f"one{own}"] = _example(f"One reading{own}", rows[0])
        if len(rows) > 1:
            examples[f"many{own}"] = _example(f"Many readings{own}", rows)
    return examples


def _example(summary: str, value: Any) -> dict[str, Any]:
    return {"summary": summary, "value": value}
