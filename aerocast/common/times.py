"""Every conversion of an instant and of a duration, and the one grammar of a time in a reading.

The grammar, for Python and for SQL, is ISO 8601 and RFC 3339, to the microsecond.

Date in extended or basic form; `T`, `t` or blanks; hours and minutes, seconds and a fraction (`.` or `,`, cut to
microseconds) as there are; 24:00 is the next day's 00:00; then `Z`, `z`, +HH, +HHMM, +HH:MM, `UTC` or `GMT`, also
behind blanks, and RFC 9557's suffix `[Europe/Paris]`, which does not count. Blanks around do not count either. A date
alone is its 00:00. Leap seconds, epoch numbers, other orders of day and month are none.

A time without an offset is a wall clock's. It is an instant only where the feed's `source.timezone` names its zone: of
an hour that the clocks repeat the first mention (of a station, in a delivery) is the earlier instant, any later one the
later; in an hour that they skip there is none.
The server imports this module: the standard library only.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from aerocast.common.errors import AeroCastError
from aerocast.common.sql import literal

if TYPE_CHECKING:
    import numpy as np

Reason = Literal["unreadable", "naive", "skipped"]
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
_YEARS = (-62_135_596_800_000_000, 253_402_300_800_000_000)  # microseconds since 1970 of the years 1 and 10000
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
    """The same instant in UTC; a time without an offset is taken as UTC."""
    return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)


def from_iso(text: str) -> datetime | None:
    """What a person or a service wrote in ISO 8601, in UTC, as `utc`; None for another text. Readings: see `parse`."""
    try:
        return utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def from_microseconds(count: int) -> datetime:
    return EPOCH + timedelta(microseconds=count)


def to_microseconds(time: datetime) -> int:
    """Since 1970."""
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
    """The time that a text names: in UTC if it has an offset, else without a zone; None if it names none."""
    try:
        if _USUAL_TEXT.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        return None
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    day, clock, offset = found.groups(default="")
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


def instant(text: str, zone: ZoneInfo | None, *, again: bool = False) -> datetime | None:
    """The instant that a text names, in UTC; `again`: the wall clock showed it before. None if it names none."""
    found = parse(text)
    if found is None or found.tzinfo:
        return found
    return on_the_wall(found, zone, again=again) if zone else None


def on_the_wall(wall: datetime, zone: ZoneInfo, *, again: bool = False) -> datetime | None:
    """The instant at which the zone's clocks show a time, the later one of two if `again`; None if they skip it."""
    try:
        found = wall.replace(tzinfo=zone, fold=int(again)).astimezone(UTC)
        return found if found.astimezone(zone).replace(tzinfo=None) == wall else None
    except OverflowError:
        return None


def why_not(text: str, zone: ZoneInfo | None) -> Reason:
    """Why a text names no instant: it is no time, it has no offset and no zone is declared, or the clocks skip it."""
    return "unreadable" if parse(text) is None else "skipped" if zone else "naive"


def zone_of(name: str | None) -> ZoneInfo | None:
    """The zone of a declared name. Raises AeroCastError where this machine does not know it."""
    try:
        return None if name is None else ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise AeroCastError(f"the time zone {name!r} is not known here: pip install tzdata") from error


def iso_duration(duration: timedelta) -> str:
    """`PT7H`, `P1DT6H`."""
    rest = abs(duration) - timedelta(days=abs(duration).days)
    hours, minutes = rest.seconds // 3600, rest.seconds // 60 % 60
    seconds = rest.seconds % 60 + rest.microseconds / 1e6
    time = "".join(f"{number:g}{unit}" for number, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if number)
    days = abs(duration).days
    text = f"P{f'{days}D' if days or not time else ''}{f'T{time}' if time else ''}"
    return f"-{text}" if duration < timedelta(0) else text


def meant_duration(text: str) -> timedelta | None:
    """What a person meant who wrote `1h`, `90 min`, `1 day 6 hours` or `01:00:00` for a duration; None if unclear."""
    plain = text.strip().lower()
    if re.fullmatch(DURATION, plain.upper()):
        plain = re.sub(r"[pt]", "", plain)
    if clock := re.fullmatch(r"(\d+):([0-5]\d)(?::([0-5]\d))?", plain):
        return timedelta(hours=int(clock[1]), minutes=int(clock[2]), seconds=int(clock[3] or 0))
    parts = _PART.findall(plain)
    if not parts or _PART.sub("", plain).strip() or any(unit not in _UNIT for _, unit in parts):
        return None
    return timedelta(seconds=sum(float(number) * _SECONDS[_UNIT[unit]] for number, unit in parts))


def iso_time(text: str) -> str:
    """SQL, as `parse`: the TIMESTAMPTZ that an expression's text names with an offset, else null."""
    usual = f"epoch_us(TRY_CAST({text} AS TIMESTAMPTZ))"
    return f"make_timestamptz({_microseconds(text, usual, f'{_USUAL}{_USUAL_OFFSET}', offset=True)})"


def wall_time(text: str) -> str:
    """SQL, as `parse`: the TIMESTAMP that an expression's text names without an offset, else null."""
    usual = f"epoch_us(TRY_CAST({text} AS TIMESTAMP))"
    return f"make_timestamp({_microseconds(text, usual, _USUAL, offset=False)})"


def why_no_time(text: str, zone: str | None) -> str:
    """SQL, as `why_not`: the reason, for a text that was read as no instant."""
    return f"CASE WHEN {wall_time(text)} IS NULL THEN 'unreadable' ELSE '{'skipped' if zone else 'naive'}' END"


# Names that no column has: a column beside the text would be meant instead.
_US, _PARTS = '"microseconds since 1970"', '"parts of a time"'


def _microseconds(text: str, usual: str, shape: str, *, offset: bool) -> str:
    """SQL for the microseconds since 1970 that a text with (or without) an offset names, else null.

    Texts of the usual shape are `usual`: DuckDB's own casts are ten times faster than a closer look.
    """
    parts = f"regexp_extract({text}, {literal(f'^{_GRAMMAR}$')}, ['day', 'clock', 'shift'])"
    digits = f"rpad(left(translate({_PARTS}.clock, ':.,', ''), 12), 12, '0')"
    hours, minutes, seconds, rest = (f"CAST({digits}[{span}] AS BIGINT)" for span in ("1:2", "3:4", "5:6", "7:12"))
    clock = f"(({hours} * 60 + {minutes}) * 60 + {seconds}) * 1000000 + {rest}"
    day = f"epoch_us(try_strptime(nullif(replace({_PARTS}.day, '-', ''), ''), '%Y%m%d'))"
    found = f"CASE WHEN {_PARTS}.shift {'<>' if offset else '='} '' AND {_PARTS}.day >= '0001' THEN {day} + {clock}"
    if offset:
        ahead = (
            f"CAST({_PARTS}.shift[2:3] AS BIGINT) * 60 + CAST('0' || replace({_PARTS}.shift[4:], ':', '') AS BIGINT)"
        )
        found += f" - CASE {_PARTS}.shift[1] WHEN '+' THEN {ahead} WHEN '-' THEN -({ahead}) ELSE 0 END * 60000000"
    low, high = _YEARS
    within = f"CASE WHEN {_US} BETWEEN {low} AND {high - 1} THEN {_US} END"
    is_usual = f"regexp_full_match({text}, {literal(shape)}) AND {text} >= '0002' AND {text} < '9999'"
    closer = _let(_US, _let(_PARTS, parts, f"{found} END"), within)
    return f"CASE WHEN {is_usual} THEN {usual} ELSE {closer} END"


def _let(name: str, value: str, body: str) -> str:
    """SQL in which `name` stands for a value that is computed once."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"
