"""No source at all: the feed's readings come through the doors (`aerocast.doors`), and nothing is fetched."""

from collections.abc import Iterator

from aerocast.deliveries.rows import Delivery


def read() -> Iterator[Delivery]:
    """See `aerocast.sources.read`: nothing."""
    return iter(())


def fingerprint() -> str:
    """See `aerocast.sources.fingerprint`: always the same, for what is pushed announces itself."""
    return "push"
