"""The prediction log: what the server answered and which outcomes were posted, durably, until evaluation takes it up.

`<home>/log/<feed>/` holds segments of JSON lines. A server process appends to its own `<name>.open`, which it keeps
locked, and closes it into `<name>.jsonl` when it is old or long enough; a closed segment never changes. The evaluation
asset appends each closed segment to the lake exactly once, by its name, and then deletes it.
The server imports this module: msgspec and the standard library only.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class LoggedForecast(msgspec.Struct, frozen=True):
    """One horizon of an answer, in the target's unit; `time` (UTC) is None for a sequence without a time."""

    horizon: int
    time: datetime | None
    value: float
    lower: float
    upper: float


class Logged(msgspec.Struct, frozen=True, tag_field="record", tag="prediction"):
    """One answer. `graph` is `station` or `sequence`; a `shadow` one was computed beside the answer and never sent,
    its `id` is that of the answer that was.
    """

    id: str
    feed: str
    target: str
    station: str | None
    issued_at: datetime
    origin: datetime | None
    version: str
    kind: str
    graph: str
    shadow: bool
    degraded: bool
    reasons: tuple[str, ...]
    level: float
    forecasts: tuple[LoggedForecast, ...]


class Posted(msgspec.Struct, frozen=True, tag_field="record", tag="outcome"):
    """One outcome as it was posted: by forecast `id` and `horizon`, or as a bare pair of numbers."""

    posted_at: datetime
    feed: str
    target: str
    actual: float
    predicted: float | None = None
    id: str | None = None
    horizon: int | None = None
    station: str | None = None
