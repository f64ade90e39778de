"""Counts each distinct forecast once, however often a busy server gave it as an answer.

`<feed>/predictions` holds a forecast once an intake, with how often it was `asked`; the `forecast` is a number made of
all that it says. `<feed>/answers` holds which forecast each answer was, 16 bytes each, in the month of its issue: an
outcome may be posted by the id of any of them. Ids are kept as numbers too, of half the bits of their MD5.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import pyarrow as pa

from aerocast.common.months import month_of
from aerocast.common.times import EPOCH
from aerocast.contracts.predictions import Logged
from aerocast.lake import PARTITION

ANSWERS = pa.schema([("answer", pa.int64()), ("forecast", pa.int64()), (PARTITION, pa.string())])
_ENCODER = msgspec.json.Encoder(order="deterministic")


class DistinctForecast(NamedTuple):
    """A forecast, as one of the answers that gave it, its number, and how many answers did."""

    answer: Logged
    forecast: int
    asked: int


def distinct_forecasts(logged: Sequence[Logged]) -> list[DistinctForecast]:
    """Each forecast once, in the order of the log.

    Its id is the newest one that a challenger's shadow answered too, so that the two can be joined.
    """
    shadow_ids = {each.id for each in logged if each.shadow}
    numbers = [forecast_number(each) for each in logged]
    newest: dict[int, Logged] = {}
    for each, number in zip(logged, numbers, strict=True):
        other = newest.get(number)
        if other is None or _rank(each, shadow_ids) > _rank(other, shadow_ids):
            newest[number] = each
    counts = Counter(numbers)
    return [DistinctForecast(each, number, counts[number]) for number, each in newest.items()]


def answer_table(logged: Iterable[Logged]) -> pa.Table:
    """Which forecast each answer was; a shadow is no answer."""
    answers = [each for each in logged if not each.shadow]
    columns = [[answer_number(each.id) for each in answers], [forecast_number(each) for each in answers]]
    return pa.table([*columns, [month_of(each.issued_at) for each in answers]], schema=ANSWERS)


def forecast_number(logged: Logged) -> int:
    """The number of a forecast's content; without a station or an origin each answer has a number of its own."""
    if logged.station is not None and logged.origin is not None:
        logged = msgspec.structs.replace(logged, id="", issued_at=EPOCH)
    return int.from_bytes(hashlib.blake2b(_ENCODER.encode(logged), digest_size=8).digest()) >> 1


def answer_number(id: str) -> int:
    """The number of an answer's id: SQL's `md5_number_lower(id) >> 1`."""
    return int.from_bytes(hashlib.md5(id.encode(), usedforsecurity=False).digest()[8:], "little") >> 1


def _rank(logged: Logged, shadow_ids: set[str]) -> tuple[bool, datetime, str]:
    return logged.id in shadow_ids, logged.issued_at, logged.id
