"""Reads opening hours as OpenStreetMap spells them: `Mo-Fr 06:00-22:30`, `Sa,Su 08:00-12:00,13:00-20:00`, `PH off`.

The server imports this module: the standard library only.
"""

import re

WEEKDAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
HOLIDAY = "PH"
_DAYS = "|".join((*WEEKDAYS, HOLIDAY))
_SPAN = r"(?:[01]?\d|2[0-3]):[0-5]\d-(?:(?:[01]?\d|2[0-3]):[0-5]\d|24:00)"
_RULE = re.compile(rf"(?:((?:{_DAYS})(?:[-,](?:{_DAYS}))*) )?(off|{_SPAN}(?:,{_SPAN})*)")


def parse(rule: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Days (0 = Monday, 7 = holidays) and spans in minutes of one rule, such as `Mo-Fr 06:00-22:30` or `PH off`.

    A span that ends at or before its start ends on the next day.

    Raises:
        ValueError: it is not such a rule.
    """
    match = _RULE.fullmatch(rule.strip())
    if match is None:
        raise ValueError(f"{rule!r} is not allowed: write days and hours such as 'Mo-Fr 06:00-22:30' or 'PH off'")
    order = [*WEEKDAYS, HOLIDAY]
    days: list[int] = []
    for part in (match[1] or "Mo-Su").split(","):
        first, _, last = part.partition("-")
        start, end = order.index(first), order.index(last or first)
        days += range(start, end + 1) if end >= start else [*range(start, 7), *range(end + 1)]
    if match[2] == "off":
        return days, []
    spans = []
    for part in match[2].split(","):
        begin, stop = ((int(hour) * 60 + int(minute)) for hour, minute in (t.split(":") for t in part.split("-")))
        spans.append((begin, stop if stop > begin else stop + 1440))
    return days, spans
