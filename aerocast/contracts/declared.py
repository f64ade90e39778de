"""Publishes what the server must know of a feed before anything is trained: its readings and their names.

`declared/<feed>.json` in the home is written by the platform, which alone reads declarations.
The server imports this module: msgspec and the standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.time_format import Repeated, Skipped, TimeFormat
from aerocast.common.times import to_minute
from aerocast.contracts.manifest import Policy
from aerocast.features.grid import Place
from aerocast.storage.atomic import Stamp
from aerocast.storage.documents import Document
from aerocast.storage.home import Home, store_of

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
    from aerocast.feed.layout import SentField

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
    when the declaration was removed. `thousands` is the sign between groups of digits in texts. `time_parts` are the
    fields that make a time together, where there are several; `remarks` those of `fields` that hold no values;
    `is_station_optional` whether a reading need not say its station, `is_time_optional` whether a file's rows need not
    say their times. `places` are those of the stations.
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
    thousands: str | None = None
    time_parts: tuple[str, ...] = ()
    time_format: tuple[str, ...] = ()
    repeated_hour: Repeated = "order"
    skipped_hour: Skipped = "refuse"
    wall_lead: timedelta = timedelta(0)
    remarks: tuple[str, ...] = ()
    is_station_optional: bool = False
    is_time_optional: bool = False
    places: tuple[Place, ...] = ()

    @property
    def times(self) -> TimeFormat:
        """How times are read. Raises AeroCastError if this machine does not know the zone."""
        return TimeFormat(self.time_format, self.timezone, self.repeated_hour, self.skipped_hour, self.wall_lead)

    def retirement(self, target: str | None = None) -> str | None:
        """Why the feed, or its target, is no longer served, as a sentence; None if it is."""
        if self.retired:
            return f"Feed {self.name} is retired: it has not been declared since {to_minute(self.retired)}."
        if target is not None and self.targets is not None and target not in self.targets:
            return f"Target {target} of feed {self.name} is retired: it is no longer declared."
        return None


def publication_of(feed: Feed) -> Declared:
    """The part of a declaration that is published."""
    from aerocast.feed import layout

    source, time, remarks = feed.source, " ".join(feed.source.time_fields), layout.remark_fields(feed)
    fields = _fields(layout.sent_fields(feed))
    measured = {name.casefold() for name in (*(field.field for field in fields), *remarks)}
    return Declared(
        feed.name,
        feed.description,
        # The source's names for the two where a measured field has such a name.
        source.station_field if "station" in measured and source.station_field else "station",
        time if "time" in measured else "time",
        feed.station_ids,
        fields,
        source.station_field,
        time,
        source.timezone,
        feed.targets,
        Policy.of(feed),
        thousands=source.format.thousands,
        time_parts=source.time_fields if len(source.time_fields) > 1 else (),
        time_format=source.time_format,
        repeated_hour=source.repeated_hour,
        skipped_hour=source.skipped_hour,
        wall_lead=source.wall_lead,
        remarks=tuple(remarks),
        is_station_optional=bool(source.wide) or layout.only_station(feed) is not None,
        is_time_optional=source.first_time is not None,
        places=Place.of_feed(feed),
    )


def _fields(sent: Iterable[SentField]) -> tuple[DeclaredField, ...]:
    """Every present and former name of a value, with its column and unit."""
    fields = []
    for name, column, _, field in sent:
        former = {each.field: each.source_unit for each in column.former if each.field}
        fields.append(DeclaredField(name, column.name, former.get(field or name) or column.source_unit))
    return tuple(fields)


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
