"""Retires feeds that are not declared any more, and publishes the declarations of those that came back or changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from aerocast.contracts.declared import publish, retire, stamps
from aerocast.releases import release
from aerocast.storage.home import Home

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed


def reconcile(home: Home, feeds: Sequence[Feed], names: Collection[str]) -> list[str]:
    """Brings the home in line with the declarations; a sentence for each change.

    A feed that the home knows and `names` does not is retired: its release serves no more and its readings are
    refused, while its files stay. Of those that came back, or changed, the new declaration is published.

    Raises:
        AeroCastError: the home refuses.
    """
    changes = []
    home_feeds = stamps(home).keys() | {feed for feed, _, _ in release.discover(home)}
    for name in sorted(home_feeds - set(names)):
        if retire(home, name):
            changes.append(f"{name} is retired: it is no longer declared; its files stay")
    for feed in feeds:
        if feed.name in home_feeds and publish(home, feed):
            changes.append(f"{feed.name}: its declaration of now is published")
    return changes
