"""Durations as a declaration spells them, ISO 8601: `PT1H`, `P30D`. For people see `aerocast.words`.

The server imports this module: the standard library only.
"""

import re
from datetime import timedelta

PATTERN = r"^P(?=.)(\d+W)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$"
_SECONDS = {"week": 604_800, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
_UNIT = {
    **{short: name for name in _SECONDS for short in (name, f"{name}s", name[0])},
    **dict.fromkeys(("hr", "hrs"), "hour"),
    **dict.fromkeys(("min", "mins"), "minute"),
    **dict.fromkeys(("sec", "secs"), "second"),
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*,?")


def iso(duration: timedelta) -> str:
    """`PT7H`, `P1DT6H`."""
    rest = abs(duration) - timedelta(days=abs(duration).days)
    hours, minutes = rest.seconds // 3600, rest.seconds // 60 % 60
    seconds = rest.seconds % 60 + rest.microseconds / 1e6
    time = "".join(f"{number:g}{unit}" for number, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if number)
    days = abs(duration).days
    text = f"P{f'{days}D' if days or not time else ''}{f'T{time}' if time else ''}"
    return f"-{text}" if duration < timedelta(0) else text


def meant(text: str) -> timedelta | None:
    """What a person meant who wrote `1h`, `90 min`, `1 day 6 hours` or `01:00:00` for a duration; None if unclear."""
    plain = text.strip().lower()
    if re.fullmatch(PATTERN, plain.upper()):
        plain = re.sub(r"[pt]", "", plain)
    if clock := re.fullmatch(r"(\d+):([0-5]\d)(?::([0-5]\d))?", plain):
        return timedelta(hours=int(clock[1]), minutes=int(clock[2]), seconds=int(clock[3] or 0))
    parts = _PART.findall(plain)
    if not parts or _PART.sub("", plain).strip() or any(unit not in _UNIT for _, unit in parts):
        return None
    return timedelta(seconds=sum(float(number) * _SECONDS[_UNIT[unit]] for number, unit in parts))
