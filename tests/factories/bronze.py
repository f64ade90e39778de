"""Bronze of a feed with an angle: a temperature, a speed and a direction at two stations."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from aerocast.feed.declaration import Feed

Row = dict[str, Any]
SCHEMA = pa.schema(
    [
        ("station", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("temp", pa.float64()),
        ("speed", pa.float64()),
        ("direction", pa.float64()),
        ("segment", pa.string()),
        ("month", pa.string()),
    ]
)


def feed(**changes: Any) -> Feed:
    def column(name: str, unit: str, **more: Any) -> Row:
        return {"name": name, "field": name, "source_unit": unit, "unit": unit, "range": [-999, 999]} | more

    declaration = {
        "name": "test",
        "description": "",
        "source": {"path": "x.csv", "station_field": "where", "time_field": "when"},
        "cadence": "PT1H",
        "seasons": ["P1D"],
        "start": "2013-01-01T00:00:00Z",
        "freshness": "PT6H",
        "stations": [{"id": "A"}, {"id": "B"}],
        "columns": [column("temp", "degC"), column("speed", "m/s"), column("direction", "degree", circular=True)],
        "vectors": [{"name": "wind", "speed": "speed", "direction": "direction"}],
        "targets": ["temp"],
        "window": {"steps": 5, "columns": ["temp"], "look_back": 24},
        "horizons": [1],
        "gap_policy": {"max_steps": 3},
        "candidates": {"persistence": {}, "seasonal_naive": {}},
    }
    return Feed.parse(declaration | changes)


def bronze(rows: Sequence[Row]) -> pa.Table:
    blank = {"station": "A", "temp": None, "speed": None, "direction": None, "segment": "s"}
    return pa.Table.from_pylist([blank | {"month": f"{row['time']:%Y-%m}"} | row for row in rows], SCHEMA)
