"""Finds out which columns say when, how they write it, and how often there is a reading."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import product
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from aerocast.common.errors import AeroCastError
from aerocast.common.time_format import EXCEL, NUMBERS, TimeFormat
from aerocast.ingest.inspection.sample import Sample, is_number

_LOOK = 3000  # distinct texts of a column that a form must fit
_FITS = 0.98  # share of them
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d", "%d/%m/%y",
          "%m/%d/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%b %d %Y", "%Y %m %d")  # fmt: skip
_TIMES = ("%H:%M:%S", "%H:%M", "%H", "%H.%M.%S", "%H.%M", "%H%M", "%I:%M:%S %p", "%I:%M %p")
_JOINTS = (" ", "T", "", "-", ":")
_NAMES = re.compile(r"time|date|datum|zeit|stamp|fecha|hora|^at$|^ts$|^ds$|valid|hour|period", re.IGNORECASE)
_PARTS = {"%Y": r"^(year|yr|y|jahr|ano)$", "%m": r"^(month|mon|mnth|mm|monat|mes)$", "%d": r"^(day|dd|tag|dia)$",
          "%H": r"^(hour|hr|hh|h|stunde|hora)$", "%M": r"^(minute|min|mi)$"}  # fmt: skip
_COMPACT = r"(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])(\d{2}|\d{4}|\d{6})?"  # 20240301, with or without a time
_YEARS = (pd.Timestamp("1980-01-01"), pd.Timestamp("2040-01-01"))
_CADENCES = [timedelta(minutes=m) for m in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720)]
_CADENCES += [timedelta(days=1)]


class TimeColumns(NamedTuple):
    """The columns that make a time, its form (None: ISO 8601), whether it has an offset, and the instants."""

    fields: tuple[str, ...]
    form: str | None
    has_offset: bool
    instants: pd.Series[Any]
    hour_ending: bool = False
    other_form: str | None = None  # which fits as well


def find_time(sample: Sample) -> TimeColumns:
    """The best reading of the columns as times.

    Raises:
        AeroCastError: none of them holds times.
    """
    candidates = [each for name in sample.columns if (each := _alone(sample, name))]
    whole = [each for each in candidates if not _is_coarse(each)]
    for each in sorted(whole or candidates, key=_preference, reverse=True):
        if whole:
            return each
        if (joined := _with_hours(sample, each)) is not None:
            return joined
    if (parts := _of_parts(sample)) is not None:
        return parts
    if candidates:
        return max(candidates, key=_preference)
    names = ", ".join(sample.columns)
    raise AeroCastError(f"no column holds times, alone or with another one: {names}")


def _preference(each: TimeColumns) -> tuple[bool, bool, int]:
    return bool(_NAMES.search(each.fields[0])), each.has_offset, each.instants.nunique()


def _is_coarse(each: TimeColumns) -> bool:
    """Days alone, each of which occurs many times: another column has the hour."""
    instants = each.instants.dropna()
    days = (instants == instants.dt.floor("D")).all()
    return bool(days and len(instants) > 1.5 * instants.nunique())


def _alone(sample: Sample, name: str) -> TimeColumns | None:
    texts = sample.columns[name]
    present = texts.dropna()
    if present.empty:
        return None
    numbers = present.head(_LOOK).map(is_number)
    if numbers.mean() > _FITS and not present.head(_LOOK).str.fullmatch(_COMPACT).all():
        return _epoch(name, texts)
    return _iso(texts, (name,)) or _formatted(texts, (name,), _forms())


def _iso(texts: pd.Series[Any], fields: tuple[str, ...]) -> TimeColumns | None:
    """As ISO 8601, with offsets or without."""
    form, distinct = TimeFormat(), _distinct(texts)
    for expression, has_offset in ((form.sql_instant("t"), True), (form.sql_wall_time("t"), False)):
        if distinct and _instants(distinct, expression).notna().mean() > _FITS:
            return TimeColumns(fields, None, has_offset, _instants(list(texts), expression))
    return None


def _distinct(texts: pd.Series[Any]) -> list[str]:
    return list(dict.fromkeys(texts.dropna()))[:_LOOK]


def _forms() -> Iterator[str]:
    yield from _DATES
    for date, joint, time in product(_DATES, _JOINTS, _TIMES):
        yield f"{date}{joint}{time}"


def _formatted(texts: pd.Series[Any], fields: tuple[str, ...], forms: Iterator[str]) -> TimeColumns | None:
    """The form that fits; of several, such as day and month or month and day, the one with the most regular steps."""
    distinct, fitting = _distinct(texts), []
    few = distinct[:: max(1, len(distinct) // 40)]
    for form in forms:
        reader = TimeFormat((form,))  # most forms are ruled out by the first text
        if few and all(reader.parse(text) for text in few) and _parsed(distinct, form).notna().mean() > _FITS:
            fitting.append(form)
    if not fitting:
        return None
    best = sorted(fitting, key=lambda form: (_irregularity(_parsed(distinct, form)), -len(form)))
    ends = "%H" in best[0] and any(re.search(r"(^|[ T\-:])24(:?00)*$", text) for text in distinct)
    other = best[1] if len(best) > 1 and len(best[1]) == len(best[0]) else None
    return TimeColumns(fields, best[0], False, _parsed(list(texts), best[0]), ends, other)


def _irregularity(instants: pd.Series[Any]) -> float:
    """Share of the steps between neighbours that are not the usual one."""
    steps = instants.dropna().drop_duplicates().sort_values().diff().dropna()
    return 1.0 if steps.empty else float(1 - steps.value_counts(normalize=True).iloc[0])


def _with_hours(sample: Sample, date: TimeColumns) -> TimeColumns | None:
    """The days of `date` joined by a blank with another column of hours."""
    for name, texts in sample.columns.items():
        if name in date.fields:
            continue
        joined = sample.columns[date.fields[0]].str.cat(texts, sep=" ")
        fields, forms = (*date.fields, name), (f"{date.form or '%Y-%m-%d'} {time}" for time in _TIMES)
        result = _iso(joined, fields) or _formatted(joined, fields, forms)
        if result is not None and result.instants.nunique() > 1.5 * date.instants.nunique():
            return result
    return None


def _of_parts(sample: Sample) -> TimeColumns | None:
    """Year, month, day and hour in columns of their own."""
    fields, forms = [], []
    for form, pattern in _PARTS.items():
        if name := next((each for each in sample.columns if re.match(pattern, each, re.IGNORECASE)), None):
            fields.append(name)
            forms.append(form)
    if forms[:3] != ["%Y", "%m", "%d"]:
        return None
    joined = sample.columns[fields[0]].str.cat([sample.columns[name] for name in fields[1:]], sep=" ")
    return _formatted(joined, tuple(fields), iter([" ".join(forms)]))


def _epoch(name: str, texts: pd.Series[Any]) -> TimeColumns | None:
    """Numbers that are instants of our days, by a format for numbers."""
    for form in (*NUMBERS, EXCEL):
        is_instant = form in NUMBERS
        reader = TimeFormat((form,))
        instants = _instants(list(texts), reader.sql_instant("t") if is_instant else reader.sql_wall_time("t"))
        is_named = form not in ("epoch", EXCEL) or _NAMES.search(name)  # few milliseconds since 1970 are measured
        if is_named and instants.between(*_YEARS).mean() > _FITS and instants.nunique() > 1:
            return TimeColumns((name,), form, is_instant, instants)
    return None


def _parsed(texts: Sequence[str | None], form: str) -> pd.Series[Any]:
    return _instants(texts, TimeFormat((form,)).sql_wall_time("t"))


def _instants(texts: Sequence[str | None], expression: str) -> pd.Series[Any]:
    """Instants without an offset (UTC's or the wall's) of an SQL expression over `t`."""
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("texts", pa.table({"t": pa.array(list(texts), pa.string(), from_pandas=True)}))
        column = con.sql(f"SELECT CAST({expression} AS TIMESTAMP) AS time FROM texts").to_arrow_table()["time"]
    return column.to_pandas().astype("datetime64[us]")


def find_cadence(instants: pd.Series[Any], stations: pd.Series[Any] | None) -> timedelta:
    """The usual step of a station's readings, as the nearest that divides a day (at most a day, or a week)."""
    frame = pd.DataFrame({"time": instants, "station": "" if stations is None else stations}).dropna()
    frame = frame.drop_duplicates().sort_values(["station", "time"])
    steps = frame.groupby("station")["time"].diff().dropna()
    if steps.empty:
        return timedelta(hours=1)
    usual = steps.value_counts().index[0].to_pytimedelta()
    if usual > timedelta(days=4):
        return timedelta(days=7)
    return min(_CADENCES, key=lambda each: abs(np.log(each / max(usual, timedelta(seconds=1)))))
