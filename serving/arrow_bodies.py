"""Batches as Arrow IPC streams: a row a request in, a row a horizon or a problem out.

Imported when the first such body comes (docs/decisions/014): pyarrow takes 60 MB.
"""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aerocast.ingest.channels.arrow import longest_text, stream
from aerocast.ingest.channels.reading_error import ReadingError
from serving.batch import MOST_ITEMS, MOST_VALUES, BatchAnswer
from serving.readings import refused

MOST_UNPACKED, MOST_COLUMNS = 8 << 20, 64
_TEXTS = ("station", "feed", "target")
_IS_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_IS_LIST = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_UTC = pa.timestamp("us", "UTC")
_ANSWER = pa.schema(
    [
        ("index", pa.int32()),
        *((name, pa.string()) for name in ("id", "feed", "target", "unit", "station")),
        ("issued_at", _UTC),
        ("origin", _UTC),
        ("version", pa.string()),
        ("degraded", pa.bool_()),
        ("reasons", pa.list_(pa.string())),
        ("horizon", pa.int32()),
        ("time", _UTC),
        *((name, pa.float64()) for name in ("value", "lower", "upper", "level")),
        ("quantiles", pa.map_(pa.string(), pa.float64())),
        ("status", pa.int32()),
        *((name, pa.string()) for name in ("problem", "field", "rule")),
    ]
)


def rows(body: bytes) -> list[dict[str, Any]]:
    """The requests of a stream, at most one more than a batch may have, as dictionaries without what is null.

    Raises a 400 problem for what is no stream, unpacks to too much, or has a column of another type.
    """
    requests: list[dict[str, Any]] = []
    try:
        with stream(body, MOST_UNPACKED) as batches:
            for batch in batches:
                batch.validate(full=True)  # else offsets that a client has made up would be followed
                table = pa.Table.from_batches([batch])
                columns = list(zip(table.column_names, table.columns, strict=True))[:MOST_COLUMNS]
                values = {name: _values(column, name) for name, column in columns}
                for at in range(min(table.num_rows, MOST_ITEMS + 1 - len(requests))):
                    requests.append({name: own[at] for name, own in values.items() if own[at] is not None})
                if len(requests) > MOST_ITEMS:
                    break
    except ReadingError as error:
        raise refused(error) from None
    return requests


def _values(column: pa.ChunkedArray, name: str) -> list[Any]:
    """The column's values as JSON would have them, of the first rows alone. Raises ReadingError for another type."""
    column = column.slice(0, MOST_ITEMS + 1)
    if pa.types.is_null(column.type):
        return [None] * len(column)
    if name in _TEXTS:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not any(matches(kind) for matches in _IS_TEXT):
            raise ReadingError(name, str(column.type), "a column of texts")
        longest_text(column, name)  # before few texts, in many rows, are unpacked
        return list(column.cast(pa.string()).to_pylist())
    if name == "time":
        rule = "a column of timestamps with a zone"
        if not (pa.types.is_timestamp(column.type) and column.type.tz):
            raise ReadingError(name, str(column.type), rule)
        return [time and time.isoformat() for time in _cast(column, name, _UTC, rule).to_pylist()]
    if name == "sequence":
        rule = "a column of lists of steps, each a list of numbers"
        _check_lists(column, name)
        return list(_cast(column, name, pa.list_(pa.list_(pa.float64())), rule).to_pylist())
    if name == "covariates":
        rule = "a column of maps from names to lists of numbers"
        if not pa.types.is_map(column.type):
            raise ReadingError(name, str(column.type), rule)
        for chunk in column.chunks:
            longest_text(pa.chunked_array([chunk.keys]), name)
            _check_lists(chunk.items, name)
        kind = pa.map_(pa.string(), pa.list_(pa.float64()))
        return list(_cast(column, name, kind, rule).to_pylist(maps_as_pydicts="lossy"))
    return [""] * len(column)  # a field that there is not: refused as in JSON


def _check_lists(column: Any, name: str) -> None:
    """Counts what lists unpack to. Raises ReadingError for too much."""
    count, own = 0, column
    while any(matches(own.type) for matches in _IS_LIST):
        own = pc.list_flatten(own)
        count += len(own)
        if count > MOST_VALUES:
            rule = f"at most {MOST_VALUES} values in lists"
            raise ReadingError(name, f"{count} values", rule, slug="too-many-values")


def _cast(column: pa.ChunkedArray, name: str, kind: pa.DataType, rule: str) -> pa.ChunkedArray:
    try:
        return column.cast(kind)
    except (pa.ArrowException, ValueError) as error:
        raise ReadingError(name, str(column.type), f"{rule} ({str(error).splitlines()[0][:100]})") from None


def write(answers: Sequence[BatchAnswer]) -> bytes:
    """The answers as a stream: a row a horizon; for a problem one row, with its status, slug, field and rule."""
    table = pa.Table.from_pylist([row for each in answers for row in _rows_of(each)], _ANSWER)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, _ANSWER) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _rows_of(answer: BatchAnswer) -> list[dict[str, Any]]:
    if answer.problem:
        own = answer.problem
        return [
            {"index": answer.index, "status": own.status, "problem": own.detail, "field": own.field, "rule": own.rule}
        ]
    prediction = answer.prediction
    assert prediction, "an answer is one or the other"
    common = {
        name: getattr(prediction, name)
        for name in ("id", "feed", "target", "unit", "station", "issued_at", "origin", "degraded", "level")
    }
    common |= {
        "index": answer.index,
        "status": 200,
        "version": prediction.model.version,
        "reasons": [reason.code for reason in prediction.reasons],
    }
    names = ("horizon", "time", "value", "lower", "upper")
    return [
        common | {name: getattr(one, name) for name in names} | {"quantiles": list(one.quantiles.items())}
        for one in prediction.forecasts
    ]
