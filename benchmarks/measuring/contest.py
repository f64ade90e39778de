"""What every way is told, and whether all did the same work."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from aerocast.common.months import month_span, months_around
from aerocast.common.sql import quoted
from aerocast.common.units import conversion
from aerocast.features.features import feature_names
from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.tables.quality import VALUE_RULES, step_reach
from aerocast.tables.quality.value_rules import MISSING_NUMBERS, MISSING_WORDS
from measuring.generated import RAW
from measuring.script import Job

PIECE = 1_000_000  # readings at a time, as ours
LAYERS = ("bronze", "quarantine", "silver", "windows")
CLOSE = 2e-5  # of the sum of the absolute values: float32 against float64

Totals = dict[str, dict[str, tuple[int, float, float]]]


def job(feed: Feed, lake: Lake, most: int = PIECE) -> Job:
    """The whole work as plain data: what the peers know; `most` readings at a time."""
    pieces = []
    for months in lake.chunks(RAW, lake.months(RAW), most):
        low, high = month_span(months[0])[0], month_span(months[-1])[1]
        files = lake.files(RAW, months_around(months, step_reach(feed), step_reach(feed)))
        pieces.append({"low": int(low.timestamp()), "high": int(high.timestamp()), "files": files})
    # Of the numbers for missing, none lies in a range of this feed.
    missing = sorted({*MISSING_WORDS, *(f"{number:g}{end}" for number in MISSING_NUMBERS for end in ("", ".0"))})
    columns = [[c.name, c.field, *conversion(c.source_unit, c.unit), *c.range, c.max_step] for c in feed.columns]
    return {
        "files": lake.files(RAW),
        "pieces": pieces,
        "columns": columns,
        "missing": missing,
        "stations": [[each.id, each.latitude, each.longitude] for each in feed.stations],
        "zone": next(iter(feed.zones.values())),
        "start": int(feed.start.timestamp()),
        "latest": int((feed.clock() + feed.cadence).timestamp()),
        "target": feed.targets[0],
        "horizons": list(feed.horizons),
        "look_back": feed.window.look_back,
    }


def totals(feed: Feed, files: Mapping[str, Sequence[str]]) -> Totals:
    """Of each layer's columns: how many values, their sum, and the sum of their absolutes; `rows` among them."""
    spec = WindowSpec.of(feed, feed.targets[0])
    figures = ("mean", "std", "min", "max", "count", "age")
    series = [column.name for column in feed.columns]
    outcomes = [f"y_{spec.target}_{horizon}" for horizon in spec.horizons]
    broken = [f"\"column\" = '{name}' AND rule = '{rule}'" for name in series for rule in VALUE_RULES]
    wanted = {
        "bronze": [*series, "length(flags)"],
        "quarantine": ['"column" IS NULL', *broken, "length(value)"],
        "silver": [*series, *(f"{name}_{figure}" for name in series for figure in figures)],
        "windows": [*feature_names(spec), *outcomes],
    }
    found: Totals = {}
    with duckdb.connect() as con:
        for layer, names in wanted.items():
            values = [f"CAST({quoted(name) if name.isidentifier() else name} AS DOUBLE)" for name in names]
            sums = ", ".join(f"count({v}), coalesce(sum({v}), 0), coalesce(sum(abs({v})), 0)" for v in values)
            read = f"read_parquet([{', '.join(repr(str(file)) for file in files[layer])}])"
            row = con.sql(f"SELECT count(*), {sums} FROM {read}").fetchall()[0]
            found[layer] = {"rows": (row[0], 0.0, 0.0)}
            found[layer] |= {name: row[1 + 3 * at : 4 + 3 * at] for at, name in enumerate(names)}
    return found


def differences(ours: Totals, theirs: Totals) -> list[str]:
    """What the two did not do alike, a line each."""
    lines = []
    for layer, columns in ours.items():
        for name, (count, total, size) in columns.items():
            their_count, their_total, _ = theirs[layer][name]
            if count != their_count or abs(total - their_total) > CLOSE * (size + count):
                lines.append(f"{layer} {name}: {count:,} values, sum {total!r}; {their_count:,}, sum {their_total!r}")
    return lines


def stored(out: Path) -> dict[str, list[str]]:
    """The files that a peer has written, layer by layer."""
    return {layer: [str(path) for path in sorted((out / layer).glob("*.parquet"))] for layer in LAYERS}


def kept(lake: Lake) -> dict[str, list[str]]:
    """The files of our tables, by layer."""
    return {table.rpartition("/")[2]: lake.files(table) for table in lake.tables()}
