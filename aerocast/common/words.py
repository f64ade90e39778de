"""Writes numbers and durations for people: in checks, summaries, reasons and answers of the API.

The server imports this module: the standard library only.
"""

from datetime import timedelta

_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


def count(number: float, noun: str, many: str = "") -> str:
    """`1 step`, `26,115 readings`, `1.5 days`; `many` is the plural where it is not the noun with an s."""
    amount = int(number) if float(number).is_integer() else number
    return f"{amount:,} {noun if number == 1 else many or f'{noun}s'}"


def printable(text: str, most: int = 1000) -> str:
    """Foreign text for a message, a log or a file name: one line of characters that can be seen, at most so many."""
    visible = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text[:most])
    return visible if len(text) <= most else f"{visible}..."


def the_newest(number: int, noun: str) -> str:
    """`the newest run`, `the newest 3 runs`."""
    return f"the newest {noun if number == 1 else count(number, noun)}"


def duration(length: timedelta) -> str:
    """`30 days`, `1 hour`, `1.5 hours`: one unit, the largest that fits, to a tenth."""
    if length < timedelta(0):
        return f"minus {duration(-length)}"
    seconds = length.total_seconds()
    size, unit = next(((size, unit) for unit, size in _UNITS if seconds >= size), (1, "second"))
    return count(round(seconds / size, 1), unit)
