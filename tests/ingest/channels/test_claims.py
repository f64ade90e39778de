"""Claim checks end to end on both brokers: each row in raw once, whatever dies when; what is wrong is a dead letter."""

import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.ingest.brokers import Broker, DeadLetter, Message, connect
from aerocast.ingest.brokers import nats as nats_broker
from aerocast.ingest.channels import claims, patience
from aerocast.ingest.channels.claim_objects import ClaimPrefixes
from aerocast.ingest.channels.claims import Claim, announce, take_claims
from aerocast.storage import objects
from tests import PROJECT
from tests.factories.claims import hours_in_raw, lookup_of, write_object
from tests.factories.lies import NAMED
from tests.harness.brokers import PATIENCE, RunningBroker
from tests.harness.memory import memory_bounded


class Channel:
    """What one test needs: a broker, a topic of its own, a feed, a home and a place for objects."""

    def __init__(self, running: RunningBroker, feed: Feed, home: Path, place: Path) -> None:
        self.running, self.feed, self.home, self.place = running, feed, home, place
        self.topic = f"training-data-{uuid.uuid4().hex}"
        self.broker = connect(running.url)

    def announce(self, *spans: range) -> list[Claim]:
        """An object for each span of hours, and its claim."""
        made = [write_object(self.place / f"{span.start}-{span.stop}.parquet", span) for span in spans]
        return announce(self.broker, self.topic, self.feed, made, self.place)

    def take(self, count: int, limit: timedelta = timedelta(days=1)) -> claims.ClaimReport:
        """The next messages, as many as must come."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(claims, "MOST", count)
            return self.take_all(PATIENCE, limit)

    def take_all(self, quiet: float, limit: timedelta = timedelta(days=1)) -> claims.ClaimReport:
        prefixes = ClaimPrefixes.of(self.home, f"{self.place},/proc/self,s3://bucket")
        return take_claims(self.broker, self.home, lookup_of(self.feed), [self.topic], quiet, limit, prefixes)

    def send(self, body: bytes) -> None:
        self.broker.publish(self.topic, body, uuid.uuid4().hex)

    def dead(self, count: int) -> list[DeadLetter]:
        with closing(self.broker.consume([f"DLQ-{self.topic}"], PATIENCE)) as messages:
            return [msgspec.json.decode(message.body, type=DeadLetter) for message in islice(messages, count)]


@pytest.fixture
def channel(running: RunningBroker, feed: Feed, home: Path, tmp_path: Path) -> Iterator[Channel]:
    made = Channel(running, feed, home, tmp_path)
    yield made
    made.broker.close()


def test_announced_objects_are_appended_to_raw_once(channel: Channel) -> None:
    first, second = channel.announce(range(5), range(5, 12))
    taken = channel.take(2)
    assert (taken.messages, taken.rows, taken.repeats, taken.dead, taken.later) == (2, {"small": 12}, 0, [], [])
    assert sorted(claim.rows for claim in taken.claims) == [5, 7]
    assert {claim.config_hash for claim in taken.claims} == {claims.declared_hash(channel.feed)}
    # Announced again, much later: the object is gone by then.
    for claim in (first, second):
        Path(claim.uri.removeprefix("file://")).unlink()
        channel.send(msgspec.json.encode(claim))
    taken = channel.take(2)
    assert (taken.messages, taken.repeats, taken.rows, taken.dead) == (2, 2, {}, [])
    assert hours_in_raw(channel.home) == list(range(12))
    assert channel.broker.backlog([channel.topic]) == 0


def test_undeclared_columns_are_ignored_and_reported(channel: Channel) -> None:
    path = write_object(channel.place / "plain.parquet", range(4))
    table = pq.read_table(path).append_column("__index_level_0__", pa.array(range(4)))
    pq.write_table(table.append_column("ok", pa.array([True] * 4)), channel.place / "more.parquet")
    announce(channel.broker, channel.topic, channel.feed, [channel.place / "more.parquet"], channel.place)
    taken = channel.take(1)
    assert (taken.dead, taken.rows) == ([], {"small": 4})
    (note,) = taken.notes
    assert "__index_level_0__, ok" in note
    assert hours_in_raw(channel.home) == list(range(4))


@pytest.mark.parametrize("where", ["consumed", "appended"])
def test_killed_consumer_loses_no_row_and_repeats_none(channel: Channel, tmp_path: Path, where: str) -> None:
    channel.announce(range(5), range(5, 12))
    declaration = tmp_path / "feed.json"
    declaration.write_text(channel.feed.model_dump_json())
    command = [sys.executable, "-m", "tests.harness.claim_process", where, channel.running.url]
    killed = subprocess.run([*command, channel.home, declaration, channel.topic], cwd=PROJECT, timeout=240, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert channel.broker.backlog([channel.topic]) == 2, "nothing is committed"
    taken = channel.take(2)
    assert (taken.messages, taken.repeats) == (2, 1 if where == "appended" else 0)
    assert hours_in_raw(channel.home) == list(range(12))
    assert channel.broker.backlog([channel.topic]) == 0


def test_broker_restart_loses_no_claim(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    channel.announce(*(range(start, start + 2) for start in range(0, 12, 2)))
    commit, count = channel.broker.commit, 0

    def shaken(message: Message) -> None:
        nonlocal count
        count += 1
        if count == 2:  # between the table's commit and the broker's
            channel.running.restart()
        commit(message)
        if count == 4:
            channel.running.restart()
            channel.announce(range(12, 14))

    monkeypatch.setattr(channel.broker, "commit", shaken)
    taken = channel.take_all(1 + 2 * channel.running.again)
    assert (taken.rows, taken.dead, taken.later) == ({"small": 14}, [], [])
    assert hours_in_raw(channel.home) == list(range(14))
    assert channel.broker.backlog([channel.topic]) == 0


def test_obstacle_delays_claims_in_any_order(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_broker, "AGAIN", 0.5)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{probe.getsockname()[1]}")
    for name, value in {"ALLOW_HTTP": "true", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "here"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr(objects, "_RETRY_SECONDS", 0)
    path = write_object(channel.place / "first.parquet", range(3))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    first = Claim("small", "s3://bucket/first.parquet", sha256, 3, "")
    channel.broker.publish(channel.topic, msgspec.json.encode(first), "first", "small")
    channel.announce(range(3, 6))
    # NATS hands over what comes after it; a partition of Kafka waits.
    nats = channel.running.url.startswith("nats")
    taken = channel.take(2 if nats else 1)
    assert [refused.error for refused in taken.later] == [
        "s3://bucket/first.parquet could not be read: the object store does not answer: "
        "see AWS_ENDPOINT_URL and AWS_ALLOW_HTTP"
    ]
    assert taken.dead == []
    assert taken.rows == ({"small": 3} if nats else {})
    copy = ClaimPrefixes.copy
    monkeypatch.setattr(
        ClaimPrefixes, "copy", lambda self, uri: copy(self, uri.replace("s3://bucket", str(channel.place)))
    )
    again = channel.take(1 if nats else 2)
    assert taken.rows.total() + again.rows.total() == 6
    assert (again.later, again.dead) == ([], [])
    assert hours_in_raw(channel.home) == list(range(6))


def test_unreadable_object_blocks_no_claim_and_becomes_dead_letter(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_broker, "AGAIN", 0.5)
    monkeypatch.setattr(patience, "PAUSE", timedelta(0))
    never = Claim("small", "file:///proc/self/mem", "0" * 64, 3, "")  # whoever reads it gets an I/O error
    channel.broker.publish(channel.topic, msgspec.json.encode(never), "never", "small")
    channel.announce(*(range(start, start + 2) for start in range(0, 12, 2)))
    taken = channel.take(7)
    assert (len(taken.claims), taken.later, taken.dead) == (6, [], [])
    assert [refused.error for refused in taken.postponed] == [
        "uri: file:///proc/self/mem cannot be read: Input/output error"
    ]
    assert hours_in_raw(channel.home) == list(range(12)), "what is behind it does not wait"
    assert channel.broker.backlog([channel.topic]) == 1
    again = channel.take(1)
    assert (len(again.postponed), again.dead) == (1, [])
    (delay,) = patience.read_delays(channel.home, claims.DELAYS).values()
    assert delay.tries == 2
    channel.announce(range(12, 14))
    last = channel.take(2, limit=timedelta(0))
    assert (len(last.claims), len(last.dead), last.postponed) == (1, 1, [])
    (letter,) = channel.dead(1)
    assert "Input/output error; tried 3 times since" in letter.error
    assert msgspec.json.decode(letter.body, type=Claim) == never
    assert channel.broker.backlog([channel.topic]) == 0
    assert patience.read_delays(channel.home, claims.DELAYS) == {}


def test_unwritable_table_delays_claims(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_broker, "AGAIN", 0.5)
    channel.announce(range(3))
    blocker = channel.home / "lake"
    blocker.write_text("not a folder")
    taken = channel.take(1)
    assert [len(taken.later), len(taken.dead), len(taken.claims)] == [1, 0, 0]
    assert "a part of the path is a file" in taken.later[0].error
    assert channel.broker.backlog([channel.topic]) == 1
    blocker.unlink()
    assert channel.take(1).rows == {"small": 3}


LATIN = pa.Array.from_buffers(pa.string(), 3, [None, pa.py_buffer(bytes(12) + b"\1\0\0\0"), pa.py_buffer(b"\xfc")])
POISON: dict[str, tuple[Callable[[Claim, Path], bytes], str]] = {
    "no JSON": (lambda claim, _: b"{", "the message is not a claim"),
    "no UTF-8": (lambda claim, _: b'{"feed": "\xff"}', "the message is not a claim"),
    "another shape": (lambda claim, _: b'{"feed": "small"}', "missing required field `uri`"),
    "too much": (lambda claim, _: changed(claim, now=True), "unknown field `now`"),
    "rows as text": (lambda claim, _: changed(claim, rows="3"), "`$.rows`"),
    "no rows": (lambda claim, _: changed(claim, rows=0), "`$.rows`"),
    "sha256 of another form": (lambda claim, _: changed(claim, sha256="abc"), "`$.sha256`"),
    "unknown feed": (lambda claim, _: changed(claim, feed="smaller"), "there is no feed 'smaller'"),
    "nothing there": (lambda claim, _: changed(claim, uri=claim.uri + ".gone"), "there is no file"),
    "a folder": (lambda claim, place: changed(claim, uri=f"{place}/claims"), "there is no file"),
    "a relative path": (lambda claim, _: changed(claim, uri="a.parquet"), "names no object below"),
    "another scheme": (lambda claim, _: changed(claim, uri="http://127.0.0.1/a"), "names no object below"),
    "a way out of a bucket": (lambda claim, _: changed(claim, uri="s3://bucket/../a"), "names no object below"),
    "two lines": (lambda claim, _: changed(claim, uri="s3://bucket/a\r\nb"), "names no object below"),
    "another encoding": (lambda claim, place: stored(claim, place, w=LATIN), "cannot be read as Parquet"),
    "a path too long": (lambda claim, _: changed(claim, uri=f"{claim.uri}{'a' * 5000}"), "there is no file"),
    "a path with a NUL": (lambda claim, _: changed(claim, uri="/a\0"), "names no object below"),
    "other content": (lambda claim, _: changed(claim, sha256="0" * 64), "the claim says 000"),
    "cut off": (lambda claim, place: cut(claim, place), "sha256: "),
    "other rows": (lambda claim, _: changed(claim, rows=claim.rows + 1), "rows: "),
    "no Parquet": (lambda claim, place: written(claim, place / "b", b"PAR1 no"), "cannot be read as Parquet"),
    "types too deep": (lambda claim, place: written(claim, place / "c", NAMED["groups 10,000 deep"]()), "MB of memory"),
    "pages too large": (lambda claim, place: written(claim, place / "d", NAMED["pages of 2 GB"]()), "MB of memory"),
    "many rows of few bytes": (lambda claim, place: written(claim, place / "e", repeated(400_000)), "unpacks to more"),
    "unknown columns": (lambda claim, place: stored(claim, place, hum=["1"] * 3), "'hum'"),
    "values of no such type": (lambda claim, place: stored(claim, place, t=[[1.0]] * 3), "list<element: double>"),
}


def changed(claim: Claim, **values: object) -> bytes:
    return msgspec.json.encode({**msgspec.structs.asdict(claim), **values})


def written(claim: Claim, path: Path, data: bytes) -> bytes:
    path.write_bytes(data)
    return changed(claim, uri=str(path), sha256=hashlib.sha256(data).hexdigest())


def cut(claim: Claim, place: Path) -> bytes:
    path = place / "cut.parquet"
    path.write_bytes(Path(claim.uri.removeprefix("file://")).read_bytes()[:-20])
    return changed(claim, uri=str(path))


def stored(claim: Claim, place: Path, **columns: object) -> bytes:
    path = place / f"{'-'.join(columns)}.parquet"
    pq.write_table(pa.table({"place": ["AAA"] * 3, "at": ["2024-01-01T00:00:00Z"] * 3, **columns}), path)
    return written(claim, path, path.read_bytes())


def repeated(times: int) -> bytes:
    """Rows with one text of 200 characters, in a file just large enough for so many."""
    sink, zeros = io.BytesIO(), pa.array([0] * times, pa.int32())
    columns = {"place": "AAA", "at": "2024-01-01T00:00:00Z", "t": "1" * 200, "filler": os.urandom(times // 8)}
    table = {name: pa.DictionaryArray.from_arrays(zeros, pa.array([value])) for name, value in columns.items()}
    pq.write_table(pa.table(table), sink)
    return sink.getvalue()


def test_invalid_claim_becomes_dead_letter(channel: Channel) -> None:
    before = datetime.now(UTC)
    path = write_object(channel.place / "sound.parquet", range(40, 43))
    sound = Claim("small", path.as_uri(), hashlib.sha256(path.read_bytes()).hexdigest(), 3, "")
    bodies = {make(sound, channel.place): said for make, said in POISON.values()}
    assert len(bodies) == len(POISON)
    channel.announce(range(3))
    for body in bodies:
        channel.send(body)
    channel.announce(range(3, 5))
    with memory_bounded(300):
        taken = channel.take(len(POISON) + 2)
    assert (taken.messages, taken.rows, taken.later) == (len(POISON) + 2, {"small": 5}, [])
    assert hours_in_raw(channel.home) == list(range(5))
    assert channel.broker.backlog([channel.topic]) == 0
    dead = channel.dead(len(POISON))
    assert len(dead) == len(taken.dead) == len(POISON)
    for letter in dead:
        body = letter.body.encode() if letter.encoding == "utf-8" else b'{"feed": "\xff"}'
        assert bodies[body] in letter.error
        assert (letter.topic, letter.size) == (channel.topic, len(body))
        assert before <= letter.time <= datetime.now(UTC)
    assert len({letter.position for letter in dead}) == len(POISON)


def test_unforeseen_fault_of_claim_blocks_none(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_broker, "AGAIN", 0.5)
    first, _ = channel.announce(range(3), range(3, 6))
    read = claims._raw_rows

    def raw_rows(claim: Claim, *rest: Any) -> Any:
        if claim == first:
            raise KeyError("nobody thought of this")
        return read(claim, *rest)

    monkeypatch.setattr(claims, "_raw_rows", raw_rows)
    taken = channel.take(2)
    assert (taken.rows, taken.dead, taken.later) == ({"small": 3}, [], [])
    assert ["nobody thought of this" in refused.error for refused in taken.postponed] == [True]
    assert hours_in_raw(channel.home) == [3, 4, 5]


def test_announce_refuses_unusable_object(channel: Channel) -> None:
    (channel.place / "text.parquet").write_text("station,time")
    for name, said in {"text.parquet": "cannot be read as Parquet", "gone.parquet": "No such file"}.items():
        with pytest.raises(AeroCastError, match=said):
            announce(channel.broker, channel.topic, channel.feed, [channel.place / name], channel.place)
    empty = write_object(channel.place / "empty.parquet", [])
    with pytest.raises(AeroCastError, match="no rows"):
        announce(channel.broker, channel.topic, channel.feed, [empty], channel.place)
    assert channel.broker.backlog([channel.topic]) == 0


def test_message_is_committed_after_its_dead_letter(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    channel.send(b"{")

    def refused(*_: object) -> None:
        raise AeroCastError("the broker does not take it")

    with monkeypatch.context() as patch:
        patch.setattr(Broker, "dead", refused)
        with pytest.raises(AeroCastError, match="does not take it"):
            channel.take(1)
    assert channel.broker.backlog([channel.topic]) == 1
    assert len(channel.take(1).dead) == 1
    assert channel.broker.backlog([channel.topic]) == 0
