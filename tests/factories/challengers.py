"""Releases that give a share of the requests to a challenger."""

from pathlib import Path
from typing import Any

import msgspec

from aerocast.releases import release
from tests.factories.releases import graph, manifest
from tests.factories.tails import write_tail


def write_with_share(home: Path, number: int, bias: float, share: float = 0.0, **changes: Any) -> str:
    made = manifest(number, **changes)
    feed = msgspec.structs.replace(made.feed, shadow=share)
    return release.write(home, msgspec.structs.replace(made, feed=feed), {"model.onnx": graph(bias)})


def publish_challenger(home: Path, share: float, **changes: Any) -> tuple[str, str]:
    """A champion that gives `share` of the requests to a challenger of bias 5."""
    champion, other = write_with_share(home, 1, 1.0, share), write_with_share(home, 2, 5.0, share, **changes)
    release.promote(home, "noaa", "temperature", champion)
    release.challenge(home, "noaa", "temperature", other)
    write_tail(home)
    return champion, other
