"""Publishes what the server must know of a feed before anything is trained: its readings and their names.

`declared/<feed>.json` in the home is written by the platform, which alone reads declarations.
The server imports this module: msgspec and the standard library only.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.times import to_minute
from aerocast.contracts.manifest import Policy
from aerocast.storage.atomic import Stamp
from aerocast.storage.documents import Document
from aerocast.storage.home import Home, store_of

if TYPE_CHECKING:
    from aerocast.feed.declaration import Column, Feed

FOLDER = "declared"
_NAME = re.compile(rf"{FOLDER}/([a-z][a-z0-9_]*)\.json")


class DeclaredField(msgspec.Struct, frozen=True):
    """A measured field of a reading: its name when posted, its column, and the unit it is sent in."""

    field: str
    column: str
    unit: str


class Declared(msgspec.Struct, frozen=True):
    """A feed for the readers of its readings; `station` and `time` are the names of the two in a reading.

    `timezone` is the zone of times without an offset; None: they are refused. `fields` has former names, too. `targets`
    are forecast, `policy` is what else may change under a release (None: published by an older version); `retired` is
    when the declaration was removed.
    """

    name: str
    description: str
    station: str
    time: str
    stations: tuple[str, ...]
    fields: tuple[DeclaredField, ...]
    station_field: str | None = None
    time_field: str | None = None
    timezone: str | None = None
    targets: tuple[str, ...] | None = None
    policy: Policy | None = None
    retired: datetime | None = None

    def retirement(self, target: str | None = None) -> str | None:
        """Why the feed, or its target, is no longer served, as a sentence; None if it is."""
        if self.retired:
            return f"Feed {self.name} is retired: it has not been declared since {to_minute(self.retired)}."
        if target is not None and self.targets is not None and target not in self.targets:
            return f"Target {target} of feed {self.name} is retired: it is no longer declared."
        return None


def publication_of(feed: Feed) -> Declared:
    """The part of a declaration that is published."""
    source, measured = feed.source, {field.casefold() for column in feed.columns for field in column.fields}
    return Declared(
        feed.name,
        feed.description,
        # The source's names for the two where a measured field has such a name.
        source.station_field if "station" in measured else "station",
        source.time_field if "time" in measured else "time",
        feed.station_ids,
        tuple(field for column in feed.columns for field in _fields(column)),
        source.station_field,
        source.time_field,
        source.timezone,
        feed.targets,
        Policy.of(feed),
    )


def _fields(column: Column) -> list[DeclaredField]:
    """Every present and former name of a column, each once, with its unit."""
    former = {each.field: each.source_unit for each in column.former if each.field}
    units = {name: former.get(name) or column.source_unit for name in column.fields}
    return [DeclaredField(name, column.name, unit) for name, unit in units.items()]


def publish(home: Home, feed: Feed) -> bool:
    """Publishes the feed; False if it was published like this already.

    Raises:
        AeroCastError: the storage fails.
    """
    published, publication = document(home, feed.name), publication_of(feed)
    with suppress(AeroCastError):  # an unreadable document is replaced
        if published.read() == publication:
            return False
    published.write(publication)
    return True


def retire(home: Home, feed: str) -> bool:
    """Publishes that the feed's declaration was removed; False if it was before. Raises AeroCastError as `publish`."""
    published, publication = document(home, feed), None
    with suppress(AeroCastError):  # an unreadable document is replaced
        publication = published.read()
    if publication and publication.retired:
        return False
    publication = publication or Declared(feed, "", "station", "time", (), ())
    published.write(msgspec.structs.replace(publication, retired=datetime.now(UTC)))
    return True


def document(home: Home, feed: str) -> Document[Declared]:
    """The published part of the feed's declaration."""
    return Document(store_of(home), f"{FOLDER}/{feed}.json", Declared, "published declaration")


def stamps(home: Home) -> dict[str, Stamp]:
    """A stamp by feed, which changes when it is published again. Raises AeroCastError if it cannot be listed."""
    stamps = store_of(home).stamps(FOLDER).items()
    return {match[1]: stamp for name, stamp in stamps if (match := _NAME.fullmatch(name))}
