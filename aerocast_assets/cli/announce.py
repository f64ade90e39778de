"""Announces Parquet files with readings over the broker: for people, and as an example for producers."""

from collections.abc import Sequence
from pathlib import Path

from aerocast import brokers
from aerocast.doors.claims import announce
from aerocast.errors import AeroCastError
from aerocast.home import Home, home_of
from aerocast.settings import Settings
from aerocast_assets.assets.claims import UNSET
from aerocast_assets.feeds import find_feed


def send(home: Home, feed: str, topic: str, files: Sequence[Path], place: str | None) -> int:
    """Puts the files under `claims/` of the place (default: the home), then sends one message each.

    Raises:
        AeroCastError: no such feed, no broker, a file that is no Parquet, a place or broker that does not take it.
    """
    found, address = find_feed(feed), Settings().broker
    if not address:
        raise AeroCastError(UNSET)
    target = home_of(Settings(home=place)) if place else home
    with brokers.connect(address) as broker:
        for claim in announce(broker, topic, found, files, target):
            print(f"{topic}: {claim.rows} readings of {claim.feed} in {claim.uri}")
    return 0
