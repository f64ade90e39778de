"""Answers that say the same: a busy server gives each forecast thousands of times, evaluation counts it once.

`<feed>/predictions` holds a forecast once an intake, with how often it was `asked`; the `forecast` is a number made of
all that it says. `<feed>/answers` holds which forecast each answer was, 16 bytes each, in the month of its issue: an
outcome may be posted by the id of any of them. Ids are kept as numbers too, of half the bits of their MD5.
"""

from __future__ import annotations

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


class Said(NamedTuple):
    """A forecast, in the words of one of the answers that gave it, its number, and how many did."""

    answer: Logged
    forecast: int
    asked: int


def distinct(logged: Sequence[Logged]) -> list[Said]:
    """Each forecast once, in the order of the log.

    It bears the newest id that a challenger's shadow answered too, so that the two are found together.
    """
    shadowed = {each.id for each in logged if each.shadow}
    numbers = [forecast(each) for each in logged]
    chosen: dict[int, Logged] = {}
    for each, number in zip(logged, numbers, strict=True):
        known = chosen.get(number)
        if known is None or _rank(each, shadowed) > _rank(known, shadowed):
            chosen[number] = each
    asked = Counter(numbers)
    return [Said(each, number, asked[number]) for number, each in chosen.items()]


def table(logged: Iterable[Logged]) -> pa.Table:
    """Which forecast each answer was; a shadow is no answer."""
    sent = [each for each in logged if not each.shadow]
    columns = [[number(each.id) for each in sent], [forecast(each) for each in sent]]
    return pa.table([*columns, [month_of(each.issued_at) for each in sent]], schema=ANSWERS)


def forecast(logged: Logged) -> int:
    """The number of what is said; one that cannot be said again, without a station or an origin, is its own."""
    if logged.station is not None and logged.origin is not None:
        logged = msgspec.structs.replace(logged, id="", issued_at=EPOCH)
    return int.from_bytes(hashlib.blake2b(_ENCODER.encode(logged), digest_size=8).digest()) >> 1


def number(id: str) -> int:
    """What SQL calls `md5_number_lower(id) >> 1`."""
    return int.from_bytes(hashlib.md5(id.encode(), usedforsecurity=False).digest()[8:], "little") >> 1


def _rank(logged: Logged, shadowed: set[str]) -> tuple[bool, datetime, str]:
    return logged.id in shadowed, logged.issued_at, logged.id
