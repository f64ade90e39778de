"""Replaces stored documents that are damaged and can be made again, before anything depends on them.

A pointer follows from the table of promotions, drift state and candidates from tables and trainings; a request can be
made once more. What lies on a disk that does not answer is no damage, and is left alone. Tables and releases are not
made again: what reads a damaged one names it.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from aerocast.contracts import drift_state, requests
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import SEQUENCE
from aerocast.models import candidates
from aerocast.releases import release
from aerocast.storage.home import Home


def heal(home: Home, feed: Feed) -> list[str]:
    """Replaces or removes what is damaged of the feed; what was wrong, a sentence each.

    Raises:
        AeroCastError: a replacement cannot be written.
    """
    return [f"{wrong}; it is made again" for wrong in _mended(home, feed) if wrong]


def _mended(home: Home, feed: Feed) -> Iterator[str]:
    yield drift_state.document(home, feed.name).mend()
    for target in feed.targets:
        yield from release.mend_pointers(home, feed.name, target, partial(_promoted, home, feed, target))
        yield requests.document(home, feed.name, target).mend()
        for kind in (*feed.candidates, SEQUENCE):
            yield candidates.document(Path(home), feed.name, target, kind).mend()


def _promoted(home: Home, feed: Feed, target: str) -> str | None:
    """The version that serves by the newest row of the table of promotions."""
    from aerocast.lake import Lake
    from aerocast.promotion import table

    decision = table.newest(Lake(home), feed.name, target)
    return decision["version"] if decision else None
