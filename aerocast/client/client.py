"""The client: one method for each question."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote

import msgspec
import pyarrow as pa

from aerocast.client import tables
from aerocast.client.errors import RequestRefusal
from aerocast.client.observing import Acceptance, Rows, parts
from aerocast.client.stream import EventStream, ServerEvent
from aerocast.client.transport import Transport

PAGE = 1000  # rows of history; the server's limit
Instant = datetime | str | None


class Client:
    """One AeroCast server. Answers are Arrow tables (`.to_pandas()` is a call away): times in UTC, numbers as float64.

    `timeout` is for each request, in seconds. A server that is too busy (429) is asked again when it says, for
    `patience` seconds in all. Every method raises RequestRefusal with the API's problem, and NoAnswer where no server
    answers. Instants are `datetime` with a zone or ISO 8601 with an offset.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8000", token: str = "", *, timeout: float = 30.0, patience: float = 60.0
    ) -> None:
        self._transport = Transport(url.rstrip("/"), token, timeout, patience)

    def __repr__(self) -> str:
        return f"Client({self._transport.url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self._transport.close()

    def feeds(self) -> pa.Table:
        """What is served: a row a station, with its feed's targets and columns."""
        return tables.feeds_table(self._transport.get("/v1/feeds"))

    def predict(self, feed: str, station: str, target: str | None = None) -> pa.Table:
        """The newest forecast: a row a horizon, with the interval and a column a quantile (`q0.05`).

        `target`: by default the feed's first.
        """
        return tables.forecast_table(self._ask("/v1/predict", feed, station, target))

    def explain(self, feed: str, station: str, target: str | None = None) -> pa.Table:
        """What the newest forecast comes from: a row a horizon and group of inputs. `base` and all `value` of a horizon
        sum to `forecast`, but for rounding.
        """
        return tables.parts_table(self._ask("/v1/explain", feed, station, target))

    def history(
        self, feed: str, station: str, start: Instant = None, end: Instant = None, *, target: str | None = None
    ) -> pa.Table:
        """Past forecasts beside what was measured, by target time from `start` up to `end`, oldest first: all pages."""
        path, rows, cursor = f"/v1/predictions/{quote(station, safe='')}/history", [], None
        span = {"from": _text(start), "to": _text(end)}
        while True:
            page = self._transport.get(path, feed=feed, target=target, limit=PAGE, cursor=cursor, **span)
            rows.append(tables.table(page["forecasts"], tables.HISTORY))
            cursor = page["next"]
            if cursor is None:
                return pa.concat_tables(rows).combine_chunks()

    def readings(self, feed: str, station: str | None = None, *, steps: int = 48) -> pa.Table:
        """The newest `steps` whole steps of a station, or of each: what was measured, null where nothing was.

        A column's metadata has its unit.
        """
        return tables.readings_table(self._transport.get("/v1/readings", feed=feed, station=station, steps=steps))

    def anomalies(self, feed: str, station: str | None = None, start: Instant = None, end: Instant = None) -> pa.Table:
        """When stations were unlike their past in the last 90 days: what lasts after `start`, begins before `end`."""
        span = {"from": _text(start), "to": _text(end)}
        return tables.table(
            self._transport.get("/v1/anomalies", feed=feed, station=station, **span)["events"], tables.ANOMALIES
        )

    def observe(self, feed: str, rows: Rows, *, key: str | None = None) -> Acceptance:
        """Posts readings: `station`, `time` and the feed's fields, as dictionaries, an Arrow table or a data frame.

        Those of one post are all on the server's disk, or none of them. More than one post takes (10,000 dictionaries,
        50,000 rows or 4 MiB of a table) goes in several, in order. `key` names the readings for a day: sent again under
        it, also after a crash, they are kept once.

        Raises:
            RequestRefusal: a reading is malformed; `index` counts from the first of all rows, and the posts before its
                own are accepted.
        """
        name = key or str(uuid.uuid4())
        accepted, duplicates, ignored, ids = 0, 0, dict[str, None](), []
        for number, part in enumerate(parts(rows)):
            headers = {"content_type": part.kind, "idempotency_key": f"{name}/{number}"}
            try:
                receipt = self._transport.post(f"/v1/observations/{quote(feed, safe='')}", part.body, **headers)
            except RequestRefusal as error:
                if error.index is not None:
                    error.document["index"] = part.first + error.index
                raise
            accepted += receipt["accepted"]
            duplicates += receipt["accepted"] * receipt["duplicate"]
            ignored |= dict.fromkeys(receipt.get("ignored", ()))
            ids.append(receipt["id"])
        return Acceptance(accepted, duplicates, tuple(ignored), tuple(ids))

    def events(
        self, feed: str | None = None, station: str | None = None, kinds: Sequence[str] = (), *, last: str | None = None
    ) -> Iterator[ServerEvent]:
        """What happens, as it is seen, without an end; `last` is the id of an event, after which it goes on.

        A connection that breaks is made again, and goes on from there. If the server no longer knows what came since,
        the next event is of kind `reset`.
        """
        return iter(EventStream(self._transport, feed, station, kinds, last))

    def _ask(self, path: str, feed: str, station: str, target: str | None) -> Any:
        question = {"feed": feed, "station": station} | ({"target": target} if target is not None else {})
        return self._transport.post(path, msgspec.json.encode(question))


def _text(instant: Instant) -> str | None:
    return instant.isoformat() if isinstance(instant, datetime) else instant
