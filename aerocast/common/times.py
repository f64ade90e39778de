"""Converts instants and durations, and reads times in ISO 8601: one grammar for Python and for SQL.

The grammar is ISO 8601 and RFC 3339, to the microsecond: a date in extended or basic form; `T`, `t` or blanks; hours
and minutes, optionally seconds and a fraction (`.` or `,`, cut to microseconds); 24:00 is the next day's 00:00; then,
also after blanks, `Z`, `z`, +HH, +HHMM, +HH:MM, `UTC` or `GMT`, and RFC 9557's suffix `[Europe/Paris]`, which is
ignored like blanks around the text. A date alone is its 00:00. Leap seconds are not read. For other
spellings see `aerocast.common.time_format`.

A time without an offset is a wall clock's. It is an instant only where the feed's `source.timezone` names its zone. Of
an hour that the clocks repeat, the first mention (of a station, in a delivery) is the earlier instant, any later one
the later; in an hour that they skip there is none.
The server imports this module: the standard library only.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from aerocast.common.errors import AeroCastError
from aerocast.common.sql import literal

if TYPE_CHECKING:
    import numpy as np

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
BLANKS = " \t\r\n"
_DATE = r"\d{4}-\d\d-\d\d|\d{8}"
_CLOCK = (
    r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?|(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d(?:[.,]\d+)?)?"
    r"|24:00(?::00(?:[.,]0+)?)?|2400(?:00(?:[.,]0+)?)?"
)
_OFFSET = r"[Zz]|UTC|GMT|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?"
_SUFFIX = r"(?:\[[!A-Za-z0-9_./+=:-]+\])*"
_GRAMMAR = rf"[ \t\r\n]*({_DATE})(?:(?:[Tt]|[ \t]+)({_CLOCK})(?:[ \t]*({_OFFSET}){_SUFFIX})?)?[ \t\r\n]*"
_USUAL = r"\d{4}-\d\d-\d\d[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?"
_USUAL_OFFSET = r"(?:Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)"
_TEXT = re.compile(_GRAMMAR, re.ASCII)
_USUAL_TEXT = re.compile(f"{_USUAL}Z", re.ASCII)
YEARS = (-62_135_596_800_000_000, 253_402_300_800_000_000)  # microseconds since 1970 of the years 1 and 10000
# Durations as a declaration spells them, ISO 8601: `PT1H`, `P30D`. For people see `aerocast.common.words`.
DURATION = r"^P(?=.)(\d+W)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$"
_SECONDS = {"week": 604_800, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
_UNIT = {
    **{short: name for name in _SECONDS for short in (name, f"{name}s", name[0])},
    **dict.fromkeys(("hr", "hrs"), "hour"),
    **dict.fromkeys(("min", "mins"), "minute"),
    **dict.fromkeys(("sec", "secs"), "second"),
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*,?")


def utc(time: datetime) -> datetime:
    """The same instant in UTC; a time without an offset counts as UTC."""
    return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)


def from_iso(text: str) -> datetime | None:
    """An ISO 8601 text of a person or a service, in UTC as by `utc`; None for other text. For readings see `parse`."""
    try:
        return utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def from_microseconds(count: int) -> datetime:
    return EPOCH + timedelta(microseconds=count)


def to_microseconds(time: datetime) -> int:
    """Microseconds since 1970."""
    return (time - EPOCH) // MICROSECOND


def from_numpy(time: np.datetime64) -> datetime:
    """In UTC, to the microsecond; the time is in any unit, and not NaT."""
    return from_microseconds(int(time.astype("datetime64[us]").astype("int64")))


def to_numpy(time: datetime) -> np.datetime64:
    """As datetime64[s] in UTC, fractions of a second cut off."""
    import numpy as np

    return np.datetime64(utc(time).replace(tzinfo=None), "s")


def to_minute(time: datetime) -> str:
    """`2024-04-10 06:00 UTC`, for people."""
    return f"{utc(time):%Y-%m-%d %H:%M} UTC"


def parse(text: str) -> datetime | None:
    """Reads a time by the grammar: in UTC if the text has an offset, else without a zone; None for other text."""
    try:
        if _USUAL_TEXT.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        return None
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    day, clock, offset = match.groups(default="")
    digits = clock.replace(":", "").replace(".", "").replace(",", "")[:12].ljust(12, "0")
    shift = 0
    if offset.startswith(("+", "-")):
        minutes = int(offset[1:3]) * 60 + int(offset[3:].replace(":", "") or 0)
        shift = minutes if offset[0] == "+" else -minutes
    try:
        start = date.fromisoformat(day)
        since = timedelta(
            days=start.toordinal() - EPOCH.toordinal(),
            hours=int(digits[:2]),
            minutes=int(digits[2:4]) - shift,
            seconds=int(digits[4:6]),
            microseconds=int(digits[6:]),
        )
        return EPOCH + since if offset else (EPOCH + since).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def from_wall_clock(wall: datetime, zone: ZoneInfo, *, again: bool = False) -> datetime | None:
    """The instant at which the zone's clocks show a time, the later one of two if `again`; None if they skip it."""
    try:
        time = wall.replace(tzinfo=zone, fold=int(again)).astimezone(UTC)
        return time if time.astimezone(zone).replace(tzinfo=None) == wall else None
    except OverflowError:
        return None


def zone_of(name: str | None) -> ZoneInfo | None:
    """The zone of a declared name. Raises AeroCastError if this machine does not have it."""
    try:
        return None if name is None else ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise AeroCastError(f"the time zone {name!r} is unknown on this machine: pip install tzdata") from error


def iso_duration(duration: timedelta) -> str:
    """`PT7H`, `P1DT6H`."""
    days, rest = abs(duration).days, abs(duration) % timedelta(days=1)
    parts = {"H": rest.seconds // 3600, "M": rest.seconds // 60 % 60, "S": rest.seconds % 60 + rest.microseconds / 1e6}
    time = "".join(f"{number:g}{unit}" for unit, number in parts.items() if number)
    text = f"P{f'{days}D' if days or not time else ''}{f'T{time}' if time else ''}"
    return f"-{text}" if duration < timedelta(0) else text


def guess_duration(text: str) -> timedelta | None:
    """The duration that a person probably meant by `1h`, `90 min`, `1 day 6 hours` or `01:00:00`; None if unclear."""
    plain = text.strip().lower()
    if re.fullmatch(DURATION, plain.upper()):
        plain = re.sub(r"[pt]", "", plain)
    if clock := re.fullmatch(r"(\d+):([0-5]\d)(?::([0-5]\d))?", plain):
        return timedelta(hours=int(clock[1]), minutes=int(clock[2]), seconds=int(clock[3] or 0))
    parts = _PART.findall(plain)
    if not parts or _PART.sub("", plain).strip() or any(unit not in _UNIT for _, unit in parts):
        return None
    return timedelta(seconds=sum(float(number) * _SECONDS[_UNIT[unit]] for number, unit in parts))


def sql_instant(text: str) -> str:
    """SQL, as `parse`: the TIMESTAMPTZ of an expression's text if it has an offset, else null."""
    usual = f"epoch_us(TRY_CAST({text} AS TIMESTAMPTZ))"
    return f"make_timestamptz({_microseconds(text, usual, f'{_USUAL}{_USUAL_OFFSET}', offset=True)})"


def sql_wall_time(text: str) -> str:
    """SQL, as `parse`: the TIMESTAMP of an expression's text if it has no offset, else null."""
    usual = f"epoch_us(TRY_CAST({text} AS TIMESTAMP))"
    return f"make_timestamp({_microseconds(text, usual, _USUAL, offset=False)})"


# Names that no column has, or SQL would take the column instead.
_US, _PARTS = '"microseconds since 1970"', '"parts of a time"'


def _microseconds(text: str, usual: str, shape: str, *, offset: bool) -> str:
    """SQL for the microseconds since 1970 of a text with (or without) an offset, else null.

    Texts of the usual shape get the expression `usual`: DuckDB's own casts are ten times faster than the grammar.
    """
    parts = f"regexp_extract({text}, {literal(f'^{_GRAMMAR}$')}, ['day', 'clock', 'shift'])"
    digits = f"rpad(left(translate({_PARTS}.clock, ':.,', ''), 12), 12, '0')"
    hours, minutes, seconds, rest = (f"CAST({digits}[{span}] AS BIGINT)" for span in ("1:2", "3:4", "5:6", "7:12"))
    clock = f"(({hours} * 60 + {minutes}) * 60 + {seconds}) * 1000000 + {rest}"
    day = f"epoch_us(try_strptime(nullif(replace({_PARTS}.day, '-', ''), ''), '%Y%m%d'))"
    count = f"CASE WHEN {_PARTS}.shift {'<>' if offset else '='} '' AND {_PARTS}.day >= '0001' THEN {day} + {clock}"
    if offset:
        ahead = (
            f"CAST({_PARTS}.shift[2:3] AS BIGINT) * 60 + CAST('0' || replace({_PARTS}.shift[4:], ':', '') AS BIGINT)"
        )
        count += f" - CASE {_PARTS}.shift[1] WHEN '+' THEN {ahead} WHEN '-' THEN -({ahead}) ELSE 0 END * 60000000"
    low, high = YEARS
    within = f"CASE WHEN {_US} BETWEEN {low} AND {high - 1} THEN {_US} END"
    is_usual = f"regexp_full_match({text}, {literal(shape)}) AND {text} >= '0002' AND {text} < '9999'"
    closer = _let(_US, _let(_PARTS, parts, f"{count} END"), within)
    return f"CASE WHEN {is_usual} THEN {usual} ELSE {closer} END"


def _let(name: str, value: str, body: str) -> str:
    """SQL in which `name` stands for a value that is computed once."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"
