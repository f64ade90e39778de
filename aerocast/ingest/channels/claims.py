"""Takes claim checks: small messages over a broker which say that a Parquet object with readings is ready.

A claim is taken in the order message, object, table, broker: its position is committed only when the rows are in raw,
whose commit holds the object's sha256. A kill in between makes the broker hand it over again, and raw knows it then.
Raw remembers the newest claims, and how far it got in each partition: a message that is not beyond that, such as all
of a topic whose consumer the broker has lost, is looked for among raw's rows.
What is wrong with a claim itself makes it a dead letter. An object that cannot be read is tried again ever later, while
others are taken, and makes one in the end. What is wrong around all claims (disk, table, an object store that does not
answer) leaves them with the broker, for later.
"""

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated

import msgspec
import pyarrow as pa

from aerocast.common.errors import AeroCastError, first_line
from aerocast.common.lineage import config_hash
from aerocast.common.times import to_minute
from aerocast.common.words import count, printable
from aerocast.contracts import clock
from aerocast.feed.declaration import Feed
from aerocast.ingest.brokers import Broker, Letter, Message
from aerocast.ingest.channels.claim_objects import FOLDER, LARGEST, ClaimPrefixes, Unusable
from aerocast.ingest.channels.parquet import read_columns, read_tables
from aerocast.ingest.channels.past_claims import ClaimLedger, message_position
from aerocast.ingest.channels.patience import Patience
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.channels.readings import definition_of, to_raw
from aerocast.ingest.deliveries.layout import Layout, station_of_file
from aerocast.lake import Lake, compaction
from aerocast.storage.home import Home, store_of
from aerocast.storage.store import UnreachableError
from aerocast.tables.layers import raw_edges

TRAINING_TOPIC, INFERENCE_TOPIC = "training-data", "inference-data"
# Both carry readings into raw; two, so that what is urgent need not queue behind bulk.
TOPICS = (TRAINING_TOPIC, INFERENCE_TOPIC)
# Bytes that an object's rows may unpack to: so many, or for each of its own.
LEAST_UNPACKED, UNPACKED_A_BYTE = 64 << 20, 30
QUIET = 1.0  # seconds without a message after which a run ends
MOST = 1000  # claims that one run takes
OBSTACLES = 10  # claims put off until a run gives up: what stands in the way stands in all their ways
DELAYS = "broker-claims"  # what is postponed (see `aerocast.ingest.channels.patience`), by a name that no feed can have


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The message. `uri` is an absolute path, `file://` or `s3://`; `config_hash` says what its sender made it from.

    An `announcement` is taken once, however often it is heard; one of older content is a new correction. Where a sender
    gives none, an object is taken once. (A message that is sent again: among the newest `aerocast.lake.memory.MEMORY`.)
    """

    feed: str
    uri: str
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    rows: Annotated[int, msgspec.Meta(ge=1)]
    config_hash: str
    announcement: str = ""

    @property
    def segment(self) -> str:
        """What raw knows the delivery by."""
        return "/".join(["claim", self.sha256, *([self.announcement] if self.announcement else [])])


class RejectedClaim(msgspec.Struct, frozen=True):
    """A message that did not become rows: where it was, and why."""

    topic: str
    position: str
    error: str


@dataclass
class ClaimReport:
    """What a run did. `claims` are those whose rows it appended; `repeats` those whose object was in raw already.

    `later` are those that wait for the platform, `postponed` those whose objects cannot be read.
    `notes` names, object by object, the columns that were ignored because they are not declared.
    """

    messages: int = 0
    claims: list[Claim] = field(default_factory=list)
    repeats: int = 0
    dead: list[RejectedClaim] = field(default_factory=list)
    later: list[RejectedClaim] = field(default_factory=list)
    postponed: list[RejectedClaim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> Counter[str]:
        """Readings appended, by feed."""
        total: Counter[str] = Counter()
        for claim in self.claims:
            total[claim.feed] += claim.rows
        return total


Find = Callable[[str], Feed | None]


def take_claims(
    broker: Broker,
    home: Home,
    find: Find,
    topics: Sequence[str] = TOPICS,
    quiet: float = QUIET,
    limit: timedelta = timedelta(days=1),
    prefixes: ClaimPrefixes | None = None,
) -> ClaimReport:
    """Takes what the broker has, until it is quiet. `find` gives the feed of a name, None where there is none.

    A claim whose object cannot be read becomes a dead letter after `limit`, one outside the `prefixes` (default: the
    home's `claims`) at once.

    Raises:
        AeroCastError: the broker cannot be used; what was not committed comes again.
    """
    report, find, keys, prefixes = ClaimReport(), cache(find), set[str](), prefixes or ClaimPrefixes.of(home)
    raw, patience = ClaimLedger(Lake(home)), Patience(home, DELAYS, limit)
    with closing(broker.consume(topics, quiet)) as messages:
        for message in messages:
            report.messages += 1
            keys.add(_key(message))
            _handle(broker, message, lambda each: _enter(raw, home, find, each, report, prefixes), report, patience)
            if report.messages >= MOST or len(report.later) >= OBSTACLES:
                break
    patience.sweep(keys, datetime.now(UTC))
    for feed in report.rows:
        compaction.tidy(raw.lake, f"{feed}/raw")
    return report


def _handle(
    broker: Broker, message: Message, enter: Callable[[Message], None], report: ClaimReport, patience: Patience
) -> None:
    """One message, from the table's commit to the broker's; a kill may come between any two lines."""
    about, key, now = (message.topic, message.position), _key(message), datetime.now(UTC)
    delay, why = patience.delays.get(key), ""
    try:
        if patience.is_due(key, now):
            enter(message)
            delay = None
    except Unusable as error:
        delay, why = None, str(error)
    except Exception as error:  # whatever one claim leads to must not stop those behind it
        if isinstance(error, AeroCastError) and not isinstance(error, UnreadableError):
            broker.later(message)
            report.later.append(RejectedClaim(*about, str(error)))
            return
        delay = patience.fail(key, first_line(error), now)
        last = patience.delays[key]
        why = f"{last.reason}; tried {count(last.tries, 'time')} since {to_minute(last.since)}"
    if delay:
        broker.postpone(message, (delay.due - now).total_seconds())
        report.postponed.append(RejectedClaim(*about, delay.reason))
        return
    if why:
        broker.dead(message, why)
        report.dead.append(RejectedClaim(*about, why))
    broker.commit(message)
    patience.clear(key)


def _key(message: Message) -> str:
    """The name of a claim among what is postponed; brokers name a message differently when it is sent again."""
    return hashlib.sha256(message.body).hexdigest()


def announce(
    broker: Broker, topic: str, feed: Feed, files: Iterable[Path], home: Home, announcement: str | None = None
) -> list[Claim]:
    """Puts Parquet files into `claims/<feed>/` of a place, named by content, and then announces them.

    An object that a message names is there before the message, whole, and is never changed. Pass the same
    `announcement` when trying again after a failure, for the first one may have been received; without one it is new.

    Raises:
        AeroCastError: a file cannot be read as Parquet, the place cannot be written, or the broker does not take it.
    """
    store, claims, announcement = store_of(home), [], announcement or uuid.uuid4().hex
    for path in files:
        rows, data = _countable(path, feed), path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"{FOLDER}/{feed.name}/{sha256}.parquet"
        store.replace(name, data)
        claims.append(Claim(feed.name, store.link(name), sha256, rows, declared_hash(feed), announcement))
    # A name of this announcement, not of the object: one that became a dead letter may be announced again at once.
    letters = [Letter(uuid.uuid4().hex, msgspec.json.encode(claim), claim.feed) for claim in claims]
    broker.publish_all(topic, letters)
    return claims


def _countable(path: Path, feed: Feed) -> int:
    """The number of rows that the platform would take of a file. Raises AeroCastError as `announce`."""
    try:
        if path.stat().st_size > LARGEST:
            raise AeroCastError(f"{path} is too large; announce it in parts of at most {LARGEST} bytes")
        definition = definition_of(feed, file_station=station_of_file(feed, path.name) is not None)
        with _as_parquet(str(path), AeroCastError):
            columns, _ = read_columns(path, definition)
            rows = sum(map(len, read_tables(path, columns.names)))
    except OSError as error:
        raise AeroCastError(f"{path} cannot be read: {error.strerror or error}") from error
    if not rows:
        raise AeroCastError(f"{path} holds no rows: there is nothing to announce")
    return rows


def declared_hash(feed: Feed) -> str:
    """Which declaration of the feed a claim was made by."""
    return config_hash(feed=feed.model_dump(mode="json"))


class UnreadableError(AeroCastError):
    """The claim's object cannot be read now, which says nothing about others."""


def _enter(
    raw: ClaimLedger, home: Home, find: Find, message: Message, report: ClaimReport, prefixes: ClaimPrefixes
) -> None:
    """Appends the rows of one claim, unless they are there.

    Raises:
        Unusable: the claim is wrong.
        UnreadableError: its object cannot be read; the claim is to be tried again, for a while.
        AeroCastError: something around it is wrong; the claim is to be tried again.
    """
    claim = _parse(message.body)
    feed = find(claim.feed)
    if feed is None:
        raise Unusable(f"feed: there is no feed {claim.feed!r}")
    name, rows = f"{feed.name}/raw", None
    stream, number = message_position(message)
    while True:
        version = raw.lake.version(name)
        if raw.knows(name, message, claim.segment):  # its object may be gone by now
            report.repeats += 1
            return
        if rows is None:
            rows, others = _rows(claim, feed, clock.now(home, feed.name, feed.end), prefixes)
        turns = {claim.segment: 0 if version is None else version + 1}
        if number is not None:
            turns[stream] = max(number, raw.lake.ledger(name).position(stream) or 0)
        if raw.lake.amend(name, rows, turns, upon=version, edges=raw_edges(feed)):
            break
    report.claims.append(claim)
    report.notes += (
        [f"{printable(claim.uri)}: ignored because they are not declared: {', '.join(others)}"] if others else []
    )


def _parse(body: bytes) -> Claim:
    try:
        return msgspec.json.decode(body, type=Claim)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable(f"the message is not a claim: {error}") from error


def _rows(claim: Claim, feed: Feed, now: datetime, prefixes: ClaimPrefixes) -> tuple[pa.Table, tuple[str, ...]]:
    """The object's rows as raw's, and the columns that are ignored, after all that the claim says has been checked."""
    try:
        with prefixes.copy(claim.uri) as (path, sha256):
            if sha256 != claim.sha256:
                uri = printable(claim.uri)
                raise Unusable(f"sha256: {uri} holds other content, the claim says {claim.sha256}")
            return _raw_rows(claim, feed, now, path)
    except UnreachableError:
        raise
    except ReadingError as error:
        raise Unusable(str(error)) from error
    except AeroCastError as error:
        raise UnreadableError(str(error)) from error


def _raw_rows(claim: Claim, feed: Feed, now: datetime, path: Path) -> tuple[pa.Table, tuple[str, ...]]:
    layout, uri = Layout(feed, station_of_file(feed, claim.uri)), printable(claim.uri)
    definition = definition_of(feed, file_station=layout.has_station)
    with _as_parquet(uri, Unusable):
        columns, _ = read_columns(path, definition)
        rows = _bounded(path, columns.names, uri)
    if len(rows) != claim.rows:
        raise Unusable(f"rows: {uri} has {len(rows)}, the claim says {claim.rows}")
    try:
        return to_raw(feed, rows, claim.uri, claim.segment, now, layout=layout), columns.ignored
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise Unusable(f"{uri} holds no readings of {feed.name}: {first_line(error)}") from error


def _bounded(path: Path, names: Sequence[str], uri: str) -> pa.Table:
    """The rows of an object, which become one commit and are in memory together."""
    tables, size, most = list[pa.Table](), 0, max(LEAST_UNPACKED, UNPACKED_A_BYTE * path.stat().st_size)
    for table in read_tables(path, names):
        tables.append(table)
        size += table.nbytes
        if size > most:
            raise Unusable(f"uri: {uri} unpacks to more than {most} bytes; announce it in parts")
    return pa.concat_tables(tables) if tables else pa.table({})


@contextmanager
def _as_parquet(uri: str, wrong: type[Exception]) -> Iterator[None]:
    """Raises `wrong` for what is no Parquet; a disk that does not give it is something else."""
    try:
        yield
    except pa.ArrowException as error:
        raise wrong(f"uri: {uri} cannot be read as Parquet: {first_line(error)}") from error
