"""Channels by which readings come in that no source fetches. Each gives batches; raw takes every batch exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aerocast.feed.model import Feed
    from aerocast.ingest.doors.base import Door
    from aerocast.storage.home import Home
    from aerocast.storage.settings import Settings


def doors_of(home: Home, feed: Feed, settings: Settings) -> list[Door]:
    """The feed's channels that the raw asset takes from: what was posted to the server, and the inbox.

    Claim checks (`aerocast.ingest.doors.claims`) are not among them: feeds share a broker's topics.
    """
    from aerocast.ingest.doors.inbox import Inbox, inbox_of
    from aerocast.ingest.doors.observations import ObservationDoor

    return [
        ObservationDoor(home, feed.name),
        Inbox(inbox_of(home, settings), home, feed.name, patience=settings.patience),
    ]
