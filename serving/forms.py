"""Requests of older clients in forms that the feed declares: read as the common form, answered in their own words."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from aerocast.contracts.manifest import FeedSnapshot, Form
from serving.hot_swap import ServingStore
from serving.problems import invalid
from serving.schemas import Prediction, PredictRequest

Scalar = str | int | float | bool | None
_STALE = {"stale_feed", "stale_station"}


class Formed(NamedTuple):
    """What a request in a declared form asks for; `values` stand for the newest step's, by column."""

    form: Form
    request: PredictRequest
    values: dict[str, float]
    time: Scalar


def find(store: ServingStore, body: bytes, feed: str | None, target: str | None) -> Formed | None:
    """The request, if its fields are those of a form of the feed; None for one in the common form.

    `feed` and `target` are of the address; without a feed the forms of the only one that is served count. Raises a 422
    problem for a value that is no number.
    """
    snapshot = _snapshot(store, feed)
    if snapshot is None or not snapshot.forms:
        return None
    try:
        fields = msgspec.json.decode(body, type=dict[str, Scalar])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    for form in snapshot.forms:
        if fields and fields.keys() <= form.fields and not fields.keys() <= {*PredictRequest.__struct_fields__}:
            return _formed(snapshot, form, fields, form.target or target)
    return None


def _snapshot(store: ServingStore, feed: str | None) -> FeedSnapshot | None:
    names = [feed] if feed is not None else list(store.index) if len(store.index) == 1 else []
    served = next((each for name in names for each in store.index.get(name, {}).values()), None)
    return served.feed if served else None


def _formed(feed: FeedSnapshot, form: Form, fields: Mapping[str, Scalar], target: str | None) -> Formed:
    station: Scalar = feed.stations[0].id
    if form.station is not None:
        station = fields.get(form.station)
        if not isinstance(station, str | int) or isinstance(station, bool):
            raise invalid(form.station, station, "the id of a station")
    values = {}
    for name, column in form.columns.items():
        value = fields.get(name)
        if value is None:
            continue
        info = feed.column(column)
        if isinstance(value, bool | str) or not info or not info.range[0] <= value <= info.range[1]:
            low, high, unit = (*info.range, info.unit) if info else (0, 0, "")
            raise invalid(name, value, f"a number within {low:g} .. {high:g} {unit}")
        values[column] = float(value)
    time = fields.get(form.time) if form.time is not None else None
    return Formed(form, PredictRequest(station=str(station), feed=feed.name, target=target), values, time)


def answer(formed: Formed, prediction: Prediction) -> dict[str, Any]:
    """The fields that the form declares, of the nearest horizon."""
    first = prediction.forecasts[0]
    is_stale = any(reason.code in _STALE for reason in prediction.reasons)
    facts: dict[str, Any] = {
        "station": prediction.station,
        "time": formed.time if formed.time is not None else prediction.origin,
        "target_time": first.time,
        "value": first.value,
        "lower": first.lower,
        "upper": first.upper,
        "unit": prediction.unit,
        "version": prediction.model.version,
        "source": "parquet" if is_stale else "online",  # words of the systems whose clients these are
        "degraded": prediction.degraded,
    }
    return {name.replace("{target}", prediction.target): facts[what] for name, what in formed.form.answer.items()}
