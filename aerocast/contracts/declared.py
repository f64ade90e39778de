"""What the server must know of a feed before anything is trained: which readings it may take, and by which names.

`declared/<feed>.json` in the home, published by the platform, which alone reads declarations.
The server imports this module: msgspec and the standard library only.
"""

from __future__ import annotations

import re
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
    from aerocast.feed.model import Column, Feed

FOLDER = "declared"
_NAME = re.compile(rf"{FOLDER}/([a-z][a-z0-9_]*)\.json")


class DeclaredField(msgspec.Struct, frozen=True):
    """A measured field of a reading: its name in the channels, the column it becomes, and the unit it is sent in."""

    field: str
    column: str
    unit: str


class Declared(msgspec.Struct, frozen=True):
    """A feed as the channels know it; `station` and `time` are a reading's names of the two, or else the source's.

    `timezone` is the zone of times without an offset; none: they are refused. `fields` holds former names, too.
    `targets` are those that are forecast, `policy` what else may change under a release (None: published by an older
    version); `retired` is since when nobody declares the feed any more.
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
        """Why the feed, or its target, is not served any more, as a sentence; None if it is."""
        if self.retired:
            return f"Feed {self.name} is retired: nobody declares it since {to_minute(self.retired)}."
        if target is not None and self.targets is not None and target not in self.targets:
            return f"Target {target} of feed {self.name} is retired: it is not declared any more."
        return None


def declared(feed: Feed) -> Declared:
    """The part of a declaration that is published."""
    station, time = door_names(feed)
    source = feed.source
    return Declared(
        feed.name,
        feed.description,
        station,
        time,
        feed.station_ids,
        tuple(field for column in feed.columns for field in _fields(column)),
        source.station_field,
        source.time_field,
        source.timezone,
        feed.targets,
        Policy.of(feed),
    )


def _fields(column: Column) -> list[DeclaredField]:
    """Every name under which a column is or was sent, each once; the unit is the one of that name."""
    former = {each.field: each.source_unit for each in column.former if each.field}
    units = {name: former.get(name) or column.source_unit for name in column.fields}
    return [DeclaredField(name, column.name, unit) for name, unit in units.items()]


def door_names(feed: Feed) -> tuple[str, str]:
    """A reading's names of its station and time in every channel: just those, unless a measured field has one."""
    measured = {field.casefold() for column in feed.columns for field in column.fields}
    station = feed.source.station_field if "station" in measured else "station"
    return station, feed.source.time_field if "time" in measured else "time"


def publish(home: Home, feed: Feed) -> bool:
    """Makes the feed known to the channels; False if it was, just so.

    Raises:
        AeroCastError: the home refuses.
    """
    published, wanted = document(home, feed.name), declared(feed)
    try:
        if published.read() == wanted:
            return False
    except AeroCastError:  # what cannot be read is written over
        pass
    published.write(wanted)
    return True


def retire(home: Home, feed: str) -> bool:
    """Says that nobody declares the feed any more; False if that is known. Raises AeroCastError: the home refuses."""
    published = document(home, feed)
    try:
        before = published.read()
    except AeroCastError:  # what cannot be read says nothing that is worth keeping
        before = None
    if before and before.retired:
        return False
    before = before or Declared(feed, "", "station", "time", (), ())
    published.write(msgspec.structs.replace(before, retired=datetime.now(UTC)))
    return True


def document(home: Home, feed: str) -> Document[Declared]:
    """What was published of the feed."""
    return Document(store_of(home), f"{FOLDER}/{feed}.json", Declared, "published declaration")


def stamps(home: Home) -> dict[str, Stamp]:
    """What changes when a feed is published again, by feed. Raises AeroCastError if it cannot be listed."""
    found = {_NAME.fullmatch(name): stamp for name, stamp in store_of(home).stamps(FOLDER).items()}
    return {name[1]: stamp for name, stamp in found.items() if name}
