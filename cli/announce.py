"""Announces Parquet files with readings over the broker: for people, and as an example for producers."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from aerocast.common.errors import AeroCastError
from aerocast.storage.home import Home, expanded, home_of
from cli.command import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "announce", _run, "store Parquet files with readings and announce them to the broker"
    )
    parser.add_argument("--feed", required=True)
    parser.add_argument("--topic", default="training-data", choices=("training-data", "inference-data"))
    place = "folder or s3://bucket/prefix, one of the platform's AEROCAST_CLAIM_PREFIXES; default: the home"
    parser.add_argument("--to", help=place)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")


def _run(options: argparse.Namespace) -> int:
    return send(options.home, options.feed, options.topic, options.files, options.to)


def send(home: Home, feed: str, topic: str, files: Sequence[Path], place: str | None) -> int:
    """Puts the files under `claims/` of the place (default: the home), then sends one message each.

    Raises:
        AeroCastError: no such feed, no broker, a file that is no Parquet, a place or broker that does not take it.
    """
    from aerocast.ingest import brokers
    from aerocast.ingest.channels.claims import announce
    from aerocast.storage.settings import Settings
    from aerocast_assets.assets.claims import UNSET
    from aerocast_assets.feeds import find_feed

    own_feed, address = find_feed(feed), Settings().broker
    if not address:
        raise AeroCastError(UNSET)
    target = home_of(Settings(home=place), "--to") if place else home
    paths = [expanded(file, "FILE") for file in files]
    with brokers.connect(address) as broker:
        for claim in announce(broker, topic, own_feed, paths, target):
            print(f"{topic}: {claim.rows} readings of {claim.feed} in {claim.uri}")
    return 0
