"""What both brokers promise, by the same tests: nothing acknowledged is lost, nothing committed comes again."""

import re
import socket
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.ingest.brokers import Broker, DeadLetter, Letter, Message, connect
from aerocast.ingest.brokers import kafka as kafka_broker
from aerocast.ingest.brokers import nats as nats_broker
from tests.harness.brokers import PATIENCE, RunningBroker, start_nats

QUIET = 0.3


@pytest.fixture
def topic() -> str:
    return f"topic-{uuid.uuid4().hex}"


def some(broker: Broker, count: int, *topics: str) -> Iterator[Message]:
    """The next messages, as many as must come."""
    with closing(broker.consume(topics, PATIENCE)) as messages:
        yield from islice(messages, count)


def read(broker: Broker, topic: str, count: int) -> list[bytes]:
    """The bodies of the next messages, committed."""
    bodies = []
    for message in some(broker, count, topic):
        bodies.append(message.body)
        broker.commit(message)
    return bodies


def test_committed_message_is_delivered_once(running: RunningBroker, topic: str) -> None:
    other = f"{topic}-other"
    with connect(running.url) as broker:
        assert broker.backlog([topic, other]) == 0
        broker.publish_all(topic, [Letter(f"{number}", b"%d" % number, "one key") for number in range(50)])
        broker.publish(other, b"else", "e")
        assert broker.backlog([topic, other]) == 51
        seen = []
        for message in some(broker, 51, topic, other):
            seen.append((message.topic, message.body))
            broker.commit(message)
        assert sorted(seen) == sorted([(topic, b"%d" % number) for number in range(50)] + [(other, b"else")])
        assert [body for name, body in seen if name == topic] == [b"%d" % number for number in range(50)], "in order"
        assert broker.backlog([topic, other]) == 0
    with connect(running.url) as broker:
        assert list(broker.consume([topic], QUIET)) == []


def test_uncommitted_message_is_delivered_again(
    running: RunningBroker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_broker, "AGAIN", 0.5)
    with connect(running.url) as broker:
        broker.publish_all(topic, [Letter(f"{number}", b"%d" % number, "one key") for number in range(4)])
        # Kafka's positions are one number a partition: what came after the one put off waits with it.
        nats = running.url.startswith("nats")
        for message in some(broker, 4 if nats else 2, topic):
            if message.body == b"1":
                broker.later(message)
            else:
                broker.commit(message)
        left = [b"1"] if nats else [b"1", b"2", b"3"]
        assert broker.backlog([topic]) == len(left)
        assert read(broker, topic, len(left)) == left
        broker.publish(topic, b"put off", "p")
        assert [broker.later(message) for message in broker.consume([topic], 1.5)] == [None], "once a consumption"
        assert read(broker, topic, 1) == [b"put off"]
        broker.publish(topic, b"taken and never answered for", "t")
        (gone,) = some(broker, 1, topic)
    with connect(running.url) as broker:
        assert read(broker, topic, 1) == [gone.body]


def test_dead_letter_holds_message_and_reason(running: RunningBroker, topic: str) -> None:
    before = datetime.now(UTC)
    with connect(running.url) as broker:
        for number, body in enumerate((b'{"a": 1}', b"\xff\x00", b"x" * 900_000)):
            broker.publish(topic, body, f"{number}")
        for message in some(broker, 3, topic):
            broker.dead(message, "it is broken")
            broker.commit(message)
        dead = [msgspec.json.decode(body, type=DeadLetter) for body in read(broker, f"DLQ-{topic}", 3)]
    by_size = {letter.size: letter for letter in dead}
    assert sorted(by_size) == [2, 8, 900_000]
    assert (by_size[8].body, by_size[8].encoding) == ('{"a": 1}', "utf-8")
    assert (by_size[2].body, by_size[2].encoding) == ("/wA=", "base64")
    assert by_size[900_000].body == "x" * (256 << 10)
    for letter in dead:
        assert (letter.topic, letter.error) == (topic, "it is broken")
        assert letter.position
        assert before <= letter.time <= datetime.now(UTC)


def test_restarted_broker_loses_nothing(running: RunningBroker, topic: str) -> None:
    with connect(running.url) as broker:
        broker.publish_all(topic, [Letter(f"{number}", b"%d" % number) for number in range(20)])
        seen: list[bytes] = []
        for message in broker.consume([topic], 1 + 2 * running.again):
            seen.append(message.body)
            if len(seen) == 7:  # between what was handed over and its commit
                running.restart()
            broker.commit(message)
            if len(seen) == 10:
                running.restart()
                broker.publish(topic, b"later", "later")
        # NATS may hand over again what was committed just before it was killed; nothing is missing.
        assert sorted(set(seen)) == sorted([b"%d" % number for number in range(20)] + [b"later"])
        assert broker.backlog([topic]) == 0


def test_resent_message_is_stored_as_broker_allows(running: RunningBroker, topic: str) -> None:
    with connect(running.url) as broker:
        for _ in range(2):
            broker.publish(topic, b"once", "same id")
            broker.publish_all(topic, [Letter("same id", b"once"), Letter("other id", b"other")])
        # Kafka knows repetitions of a producer's own, but no ids.
        nats = running.url.startswith("nats")
        assert broker.backlog([topic]) == (2 if nats else 6)
        assert not nats or read(broker, topic, 2) == [b"once", b"other"]


def test_unreachable_broker_raises_one_sentence(
    running: RunningBroker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_broker, "PATIENCE", 2.0)
    monkeypatch.setattr(nats_broker, "STEP", 0.5)
    monkeypatch.setattr(kafka_broker, "STEP", 1.0)
    with connect(running.url) as broker:
        broker.publish(topic, b"there", "t")
        running.stop()
        try:
            with pytest.raises(AeroCastError, match=re.escape(running.url.split("?")[0])):
                broker.backlog([topic])
        finally:
            running.start()
        assert read(broker, topic, 1) == [b"there"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://127.0.0.1:1", "'amqp'"),
        ("nats://", "nats://host:port"),
        ("nats://here", "host:port"),
        ("kafka://127.0.0.1:1?ackwait=3", "ackwait"),
        ("nats://127.0.0.1:1?ack_wait=soon", "'soon'"),
        ("nats://127.0.0.1:1?group=a.b", "'a.b'"),
        ("nats://user:secret@127.0.0.1:PORT", "Connection refused"),
        ("kafka://127.0.0.1:PORT", "Connection refused"),
    ],
)
def test_invalid_address_is_refused(url: str, said: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(AeroCastError, match=re.escape(said)) as error:
        connect(url.replace("PORT", str(port)))
    assert "secret" not in str(error.value)


def test_server_that_denies_access_raises_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_broker, "PATIENCE", 3.0)
    with start_nats(tmp_path, "--user", "somebody", "--pass", "secret") as running:
        with pytest.raises(AeroCastError, match="Authorization Violation"):
            connect(running.url)
        with connect(running.url.replace("://", "://somebody:secret@")) as broker:
            assert broker.backlog(["topic"]) == 0


def test_invalid_topic_name_is_refused(running: RunningBroker) -> None:
    with connect(running.url) as broker, pytest.raises(AeroCastError, match=r"'a\.b'"):
        broker.publish("a.b", b"", "1")


def test_message_id_is_its_position() -> None:
    letter = DeadLetter.of(Message("t", b"a", "3:7", 1, None), "why", datetime.now(UTC))
    assert (letter.position, letter.size) == ("3:7", 1)


@pytest.mark.parametrize(("scheme", "library"), [("nats", "nats"), ("kafka", "confluent_kafka")])
def test_missing_client_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch, scheme: str, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"aerocast.ingest.brokers.{scheme}")
    with pytest.raises(AeroCastError, match=f"{scheme}: its client library is not installed"):
        connect(f"{scheme}://127.0.0.1:1")
