"""Channels by which readings come in that no source fetches. Each gives batches; raw takes every batch exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
    from aerocast.ingest.channels.base import Channel
    from aerocast.storage.home import Home
    from aerocast.storage.settings import Settings


def channels_of(home: Home, feed: Feed, settings: Settings) -> list[Channel]:
    """The feed's channels that the raw asset takes from: what was posted to the server, and the inbox.

    Claim checks (`aerocast.ingest.channels.claims`) are not among them: feeds share a broker's topics.
    """
    from aerocast.ingest.channels.inbox import Inbox, inbox_of
    from aerocast.ingest.channels.observations import HttpChannel

    return [
        HttpChannel(home, feed.name),
        Inbox(inbox_of(home, settings), home, feed.name, patience=settings.patience),
    ]
