"""Writes the declaration that is proposed for a file, with what was guessed in comments."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from aerocast.common.errors import AeroCastError
from aerocast.common.times import iso_duration
from aerocast.feed.policies import able_block
from aerocast.ingest.inspection.clock import TimeColumns, find_cadence, find_time
from aerocast.ingest.inspection.sample import ROWS, Sample, read_sample
from aerocast.ingest.inspection.seasons import DAY, find_seasons
from aerocast.ingest.inspection.shape import (
    Long,
    Measured,
    Stations,
    choose_target,
    find_long,
    find_measured,
    find_stations,
    to_numbers,
)

COMPONENT = "aerocast_assets.component.FeedComponent"
_MOST_COLUMNS = 30
_YAML_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")


class Findings(NamedTuple):
    """All that a proposal is written from."""

    path: Path
    name: str
    sample: Sample
    time: TimeColumns
    stations: Stations
    long: Long | None
    measured: list[Measured]
    left_out: list[str]
    target: Measured
    cadence: timedelta
    seasons: list[timedelta]
    first: datetime
    last: datetime


def propose(path: Path, name: str | None = None) -> str:
    """The text of a `defs.yaml` for the readings in a file; `name` is the feed's, by default the file's.

    Raises:
        AeroCastError: the file cannot be read, or holds no times or no numbers.
    """
    return "\n".join(_lines(_look(path, name))) + "\n"


def _look(path: Path, name: str | None) -> Findings:
    sample = read_sample(path)
    time, stem = find_time(sample), path.name.split(".")[0]
    long = find_long(sample, time)
    stations = find_stations(sample, time, long, stem)
    key_fields = [*time.fields, *([stations.field] if stations.field else [])]
    measured, left_out = find_measured(sample, key_fields, long)
    if not measured:
        raise AeroCastError(f"{path} has no column of numbers besides {', '.join(key_fields)}: nothing to forecast")
    left_out, measured = left_out + [each.field for each in measured[_MOST_COLUMNS:]], measured[:_MOST_COLUMNS]
    target, texts = choose_target(measured), sample.columns[stations.field] if stations.field else None
    cadence = find_cadence(time.instants, texts)
    own = pd.Series(True, index=time.instants.index)
    if texts is not None:
        own &= texts == texts.value_counts().index[0]
    if long:
        own &= sample.columns[long.quantity] == target.field
    values = sample.columns[long.value if long else target.field]
    numbers = to_numbers(values, sample.format.get("decimal", "."))
    numbers = numbers.mask(numbers.isin(target.missing))
    seasons = find_seasons(numbers[own], time.instants[own], cadence)
    instants = time.instants.dropna()
    first, last = (each.to_pydatetime().replace(tzinfo=UTC) for each in (instants.min(), instants.max()))
    return Findings(
        path,
        _name(name or stem),
        sample,
        time,
        stations,
        long,
        measured,
        left_out,
        target,
        cadence,
        seasons,
        first,
        last,
    )


def _name(text: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "feed"
    return name if name[0].isalpha() else f"feed_{name}"


def _lines(own: Findings) -> list[str]:
    looked = f"{own.sample.rows:,} rows" + ("" if own.sample.is_whole else f", the first of more than {ROWS:,}")
    return [
        f"# Proposed from {own.path.name} ({looked}). What is a guess says so: check it, then run `aerocast check`.",
        f"type: {COMPONENT}",
        "",
        "attributes:",
        f"  name: {own.name}",
        f"  description: Readings of {_text(own.path.name)[1:-1]}.",
        "  source:",
        *_source(own),
        *_grid(own),
        "  stations:" + (" # guess: the file does not name its station" if own.stations.field is None else ""),
        *(f"    - {{ id: {_text(each)} }}" for each in own.stations.ids),
        "  # range: as far beyond the quantiles as they lie apart; narrow it to what the instrument can measure.",
        "  columns:",
        *(_column(each) for each in own.measured),
        *(
            [f"  # Left out, for they look like no measurement: {', '.join(own.left_out)[:300]}"]
            if own.left_out
            else []
        ),
        f"  targets: [{_word(own.target.name)}] # guess: what is to be forecast, each with a model of its own",
        *_models(own),
    ]


def _source(own: Findings) -> list[str]:
    sample, time = own.sample, own.time
    lines = [f"kind: {sample.kind}", f"path: {_text(str(own.path.absolute()))}"]
    if own.stations.field is None:
        lines.append("station_field: null # one station, which the readings do not name")
    else:
        lines.append(f"station_field: {_text(own.stations.field)}")
    names = time.fields
    lines.append(f"time_field: {_text(names[0]) if len(names) == 1 else '[' + ', '.join(map(_text, names)) + ']'}")
    if time.form:
        other = f" # or {_text(time.other_form)}, which fits as well" if time.other_form else ""
        lines.append(f"time_format: {_text(time.form)}{other}")
    if time.hour_ending:
        lines.append("time_marks: end # guess: hours are numbered to 24")
    if not time.has_offset:
        lines.append("timezone: UTC # guess: the times have no offset; an IANA zone such as Europe/Berlin")
    if own.long:
        lines += [f"quantity_field: {_text(own.long.quantity)}", f"value_field: {_text(own.long.value)}"]
    if sample.format:
        parts = ", ".join(f"{name}: {_text(value)}" for name, value in sample.format.items())
        lines.append(f"format: {{ {parts} }}")
    return [f"    {line}" for line in lines]


def _grid(own: Findings) -> list[str]:
    start = own.first.replace(hour=0, minute=0, second=0, microsecond=0)
    end = own.last.replace(second=0, microsecond=0) + own.cadence
    if not own.time.has_offset:  # the zone, when it is known, moves both
        start, end = start - DAY, end + DAY
    return [
        f"  cadence: {iso_duration(own.cadence)} # the usual step of the readings",
        f"  seasons: [{', '.join(map(iso_duration, own.seasons))}] # by the spectrum of {own.target.name}",
        f"  start: {start:%Y-%m-%dT%H:%M:%SZ}",
        f"  end: {end:%Y-%m-%dT%H:%M:%SZ} # of this recording; remove it where readings go on",
        f"  freshness: {iso_duration(max(3 * own.cadence, timedelta(hours=1)))}",
    ]


def _column(each: Measured) -> str:
    parts = [f"name: {_word(each.name)}", f"field: {_text(each.field)}", f"source_unit: {_text(each.unit)}",
             f"unit: {_text(each.unit)}", f"range: [{each.low:g}, {each.high:g}]"]  # fmt: skip
    if each.missing:
        parts.append(f"missing: [{', '.join(f'{number:g}' for number in each.missing)}]")
    if each.quantity:
        parts.append(f"quantity: {each.quantity}")
    guesses = [name for name, is_it in (("unit", each.is_guess), ("quantity", each.quantity)) if is_it]
    return f"    - {{ {', '.join(parts)} }}" + (f" # guess: the {' and the '.join(guesses)}" if guesses else "")


def _models(own: Findings) -> list[str]:
    season = own.seasons[0] // own.cadence
    look_back = max(8, 2 * season if season <= 96 else season, *(each // own.cadence for each in own.seasons))
    steps = min(5, look_back)
    span = own.last - own.first
    horizons = sorted({1, max(2, season // 4), season} if 4 <= season <= 96 else {1, 6})
    least = able_block(horizons[-1] * own.cadence, own.cadence)
    block = max(least, min(timedelta(days=7), _whole(span / 40, own.cadence)))
    return [
        f"  window: {{ steps: {steps}, columns: [{_word(own.target.name)}], look_back: {look_back} }}",
        f"  horizons: [{', '.join(map(str, horizons))}] # steps ahead",
        "  gap_policy: { method: last, max_steps: 3 }",
        f"  split: {{ test: 0.2, validation: 0.12, calibration: 0.12, block: {iso_duration(block)} }}",
        "  candidates: # the two baselines are needed: nothing serves that does not beat both",
        "    linear: {}",
        *(["    xgboost: {}"] if own.sample.rows >= 2000 else []),
        "    persistence: {}",
        "    seasonal_naive: {}",
    ]


def _whole(span: timedelta, cadence: timedelta) -> timedelta:
    """Whole days, or whole steps below a day."""
    unit = DAY if span >= DAY else cadence
    return max(unit, span // unit * unit)


def _word(name: str) -> str:
    """A name without quotation marks, unless YAML has a meaning for it."""
    return f'"{name}"' if name in _YAML_WORDS else name


def _text(value: Any) -> str:
    """As YAML reads it back, whatever is in it."""
    return json.dumps(value, ensure_ascii=False)
