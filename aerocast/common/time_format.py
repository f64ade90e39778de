"""How the times of readings are written, besides ISO 8601: one definition for Python and for SQL.

A format is `epoch`, `epoch_ms` or `epoch_us` (seconds, milli- or microseconds since 1970), `excel` (days since
1899-12-30, to the second), `iso`, or what `strptime` takes, where hour 24 is the next day's 0 and a `*` at the end
stands for whatever follows. A text that begins with
year, month and day as in ISO 8601 is read as such in any case. See `aerocast.common.times` for zones.
The server imports this module: the standard library only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal

from aerocast.common import times
from aerocast.common.sql import literal
from aerocast.common.times import BLANKS, EPOCH, MICROSECOND

Reason = Literal["unreadable", "naive", "skipped"]
Repeated = Literal["order", "first", "second"]
Skipped = Literal["refuse", "shift"]
NUMBERS = {"epoch": 1_000_000, "epoch_ms": 1000, "epoch_us": 1}  # microseconds
EXCEL, ISO = "excel", "iso"
_EXCEL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  # of a wall clock
_SHORT = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M", "%D": "%m/%d/%y"}
_SHAPES = {
    "Y": r"\d{4}",
    **dict.fromkeys("y", r"\d\d"),
    **dict.fromkeys("mdIMS", r"\d{1,2}"),
    "H": r"(?:[01]?\d|2[0-3])",
    "j": r"\d{1,3}",
    "f": r"\d{1,6}",
    **dict.fromkeys("bBaA", r"[A-Za-z]+"),
    "p": r"[AaPp][Mm]",
    "z": r"(?:[Zz]|[+-]\d\d(?::?\d\d)?)",
    "%": "%",
}
_NEXT_DAY = {"H": "24", "M": "0?0", "S": "0?0", "f": "0+"}
_DATE = r"[ \t\r\n]*(?:\d{4}-\d\d-\d\d|\d{8}[Tt])"


def format_mistake(text: str) -> str:
    """What is wrong with a declared format; empty for a valid one."""
    if text in (*NUMBERS, EXCEL, ISO):
        return ""
    expanded = _expand(text)
    directives = re.findall(r"%(.?)", expanded.replace("%%", ""))
    if not directives:
        return f"{text!r} must be one of {', '.join((*NUMBERS, EXCEL, ISO))}, or a format of strptime"
    if unknown := [f"%{each}" for each in directives if each not in _SHAPES]:
        allowed = ", ".join(f"%{each}" for each in _SHAPES)
        return f"{text!r} has {unknown[0]}; allowed: {allowed}"
    if twice := [f"%{each}" for each in directives if directives.count(each) > 1]:
        return f"{text!r} has {twice[0]} twice"
    own = {*directives}
    month, day = own & {*"mbB"}, own & {*"dj"}
    is_start = own <= {*"YymbB"}  # of a year or a month, whose readings have no day
    if not own & {*"Yy"} or ("d" in day and not month) or not (day or is_start):
        return f"{text!r} must say the year (%Y), and the month (%m) and the day (%d) unless readings are of whole ones"
    return ""


class TimeFormat:
    """Reads texts as instants by the declared formats; by default by ISO 8601 alone."""

    def __init__(
        self,
        formats: Sequence[str] = (),
        zone: str | None = None,
        repeated: Repeated = "order",
        skipped: Skipped = "refuse",
        wall_lead: timedelta = timedelta(0),
    ) -> None:
        """Raises AeroCastError if the declared time zone is not known on this machine."""
        self.formats, self.zone_name = tuple(formats), zone
        self.zone, self.repeated, self.skipped = times.zone_of(zone), repeated, skipped
        self.wall_lead = wall_lead  # how much later than the clock a label without an offset is
        self._spelt = [_Spelling(each) for each in self.formats if each not in (*NUMBERS, EXCEL, ISO)]

    @property
    def takes_numbers(self) -> bool:
        """Whether a number says a time."""
        return any(each in (*NUMBERS, EXCEL) or each.replace("%", "").isalpha() for each in self.formats)

    @cached_property
    def rule(self) -> str:
        """What a time must be, for people."""
        spellings = f"written as {' or '.join(self.formats)}" if self.formats else "in ISO 8601"
        return f"{spellings} {f'with an offset, or on the clocks of {self.zone}' if self.zone else 'with an offset'}"

    def parse(self, text: str) -> datetime | None:
        """By the first format that fits: in UTC if it says an instant, else without a zone; None if it is no time."""
        return next(self._readings(text), None) if self.formats else times.parse(text)

    def parse_instant(self, text: str) -> datetime | None:
        """The instant that a text says, or (of an hour that clocks repeat) one of the two; None if it says none."""
        time = self.parse(text)
        return time if time is None or time.tzinfo else self.from_wall_clock(time, again=self.repeated == "second")

    def from_wall_clock(self, wall: datetime, *, again: bool) -> datetime | None:
        """The instant at which the zone's clocks show a time, the later one of two if `again`; None for none."""
        if self.zone is None:
            return None
        wall -= self.wall_lead
        time = times.from_wall_clock(wall, self.zone, again=again)
        if time is None and self.skipped == "shift":
            try:
                return times.utc(wall.replace(tzinfo=self.zone))
            except OverflowError:
                return None
        return time

    def fault_of(self, text: str) -> Reason:
        """Why a text is not an instant."""
        return "unreadable" if self.parse(text) is None else "skipped" if self.zone else "naive"

    def sql_instant(self, text: str) -> str:
        """SQL, as `parse`: the TIMESTAMPTZ of an expression's text if it says an instant, else null."""
        iso, parts, walls = times.sql_instant(text), list[str](), list[str]()
        if not self.formats:
            return iso
        for is_instant, count in self._sql_counts(text):
            if is_instant:
                before = " AND ".join(f"{wall} IS NULL" for wall in walls)
                parts.append(f"make_timestamptz({f'CASE WHEN {before} THEN {count} END' if walls else count})")
            else:
                walls.append(count)
        return f"coalesce({', '.join([*parts, self._only_iso(text, iso)])})"

    def sql_wall_time(self, text: str) -> str:
        """SQL, as `parse`: the TIMESTAMP of an expression's text if it says a wall clock's time, else null."""
        iso = times.sql_wall_time(text)
        if not self.formats:
            return iso
        parts = [f"make_timestamp({count})" for is_instant, count in self._sql_counts(text) if not is_instant]
        return f"coalesce({', '.join([*parts, self._only_iso(text, iso)])})"

    def _sql_counts(self, text: str) -> Iterator[tuple[bool, str]]:
        """For each format but ISO whether it says instants, and SQL for the microseconds since 1970."""
        spellings = iter(self._spelt)
        for each in self.formats:
            if each in NUMBERS:
                yield True, _sql_number(text, NUMBERS[each])
            elif each == EXCEL:
                days = f"floor({_double(text)} * 86400 + 0.5)"
                offset = (EPOCH.replace(tzinfo=None) - _EXCEL_EPOCH) // timedelta(seconds=1)
                yield False, _within(f"({days} - {offset}) * 1000000")
            elif each != ISO:
                spelling = next(spellings)
                yield spelling.has_offset, spelling.sql(text)

    def sql_fault(self, text: str) -> str:
        """SQL, as `fault_of`: why an expression's text is not an instant."""
        why = "skipped" if self.zone_name else "naive"
        return f"CASE WHEN {self.sql_wall_time(text)} IS NULL THEN 'unreadable' ELSE '{why}' END"

    def _only_iso(self, text: str, iso: str) -> str:
        return iso if ISO in self.formats else f"CASE WHEN regexp_matches({text}, '^{_DATE}') THEN {iso} END"

    def _readings(self, text: str) -> Iterator[datetime]:
        spellings = iter(self._spelt)
        for each in self.formats:
            time = None
            if each in NUMBERS:
                time = _from_number(text, NUMBERS[each])
            elif each == EXCEL:
                time = _from_excel(text)
            elif each != ISO:
                time = next(spellings).parse(text)
            if time is not None:
                yield time
        if ISO in self.formats or re.match(_DATE, text, re.ASCII):
            time = times.parse(text)
            if time is not None:
                yield time


class _Spelling:
    """One format of strptime."""

    def __init__(self, declared: str) -> None:
        self.is_open = declared.endswith("*")
        self.format = re.sub(r"[ \t]+", " ", _expand(declared.removesuffix("*")).strip())
        parts = re.split(r"(%.)", self.format)
        shapes = [_shape(parts, at) for at in range(len(parts))]
        self.shape = "".join(shapes)
        self.has_offset = "%z" in parts
        self.next_day: str | None = None
        if "%H" in parts:
            at = parts.index("%H")
            rest = [
                _NEXT_DAY.get(part[1:], shape) if part.startswith("%") else shape
                for part, shape in zip(parts, shapes, strict=True)
            ]
            self.next_day = f"({''.join(rest[:at])})24({''.join(rest[at + 1 :])})"

    @property
    def _beginning(self) -> str:
        """What a text begins with, where others may follow."""
        return f"(?:{self.next_day}|{self.shape})" if self.next_day else f"(?:{self.shape})"

    def parse(self, text: str) -> datetime | None:
        plain, days = re.sub(r"[ \t]+", " ", text.strip(BLANKS)), 0
        if self.is_open:
            match = re.match(self._beginning, plain, re.ASCII)
            plain = match[0].rstrip() if match else ""
        if self.next_day and (match := re.fullmatch(self.next_day, plain, re.ASCII)):
            plain, days = f"{match[1]}00{match[2]}", 1
        if not re.fullmatch(self.shape, plain, re.ASCII):
            return None
        try:
            text = re.sub("[Zz]$", "+0000", plain) if self.has_offset else plain
            time = datetime.strptime(text, self.format)  # noqa: DTZ007  # or of a wall clock
            time = times.utc(time) if time.tzinfo else time
            return time + timedelta(days=days)
        except (ValueError, OverflowError):
            return None

    def sql(self, text: str) -> str:
        """Microseconds since 1970."""
        plain = f"regexp_replace(trim({text}, ' ' || chr(9) || chr(10) || chr(13)), '[ \\t]+', ' ', 'g')"
        if self.is_open:
            plain = f"rtrim(regexp_extract({plain}, {literal(f'^{self._beginning}')}))"
        if self.has_offset:
            plain = f"regexp_replace({plain}, '[Zz]$', '+0000')"
        cases = f"WHEN regexp_full_match({plain}, {literal(self.shape)}) THEN {self._strptime(plain)}"
        if self.next_day:
            zero = f"regexp_replace({plain}, {literal(f'^{self.next_day}$')}, '\\1' || '00' || '\\2')"
            cases += (
                f" WHEN regexp_full_match({plain}, {literal(self.next_day)}) THEN {self._strptime(zero)} + 86400000000"
            )
        return f"CASE {cases} END"

    def _strptime(self, text: str) -> str:
        return f"epoch_us(try_strptime({text}, {literal(self.format)}))"


def _shape(parts: Sequence[str], at: int) -> str:
    """What a part of a format matches; a number that touches another one has all its digits."""
    part = parts[at]
    if at % 2 == 0:
        return re.escape(part)
    shape = _SHAPES[part[1]]
    touches = (at > 1 and not parts[at - 1]) or (at + 2 < len(parts) and not parts[at + 1])
    return shape.replace("{1,2}", "{2}").replace("{1,3}", "{3}").replace("[01]?", "[01]") if touches else shape


def _expand(declared: str) -> str:
    for short, long in _SHORT.items():
        declared = declared.replace(short, long)
    return declared


def _double(text: str) -> str:
    """SQL: a finite number, or null."""
    number = f"TRY_CAST({text} AS DOUBLE)"
    return f"(CASE WHEN NOT contains({text}, '_') AND isfinite({number}) THEN {number} END)"


def _sql_number(text: str, microseconds: int) -> str:
    return _within(f"floor({_double(text)} * {microseconds} + 0.5)")


def _within(count: str) -> str:
    """SQL: microseconds as a BIGINT if they lie in the years 1 to 9999."""
    low, high = times.YEARS
    return f"(CASE WHEN {count} BETWEEN {low} AND {high - 1} THEN CAST({count} AS BIGINT) END)"


def _finite(text: str) -> float | None:
    try:
        number = float(text) if "_" not in text else float("nan")
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _from_number(text: str, microseconds: int) -> datetime | None:
    number = _finite(text)
    try:
        return None if number is None else EPOCH + math.floor(number * microseconds + 0.5) * MICROSECOND
    except OverflowError:
        return None


def _from_excel(text: str) -> datetime | None:
    number = _finite(text)
    try:
        return None if number is None else _EXCEL_EPOCH + timedelta(seconds=math.floor(number * 86400 + 0.5))
    except OverflowError:
        return None
