"""Kafka: an idempotent producer, and a consumer that commits offsets itself, each when its message is dealt with.

Partitions are assigned, not subscribed to: one run consumes at a time, so there is no group to balance, and what a
killed one held is there at once. A committed offset covers all before it; so a message that is put off (`later`) holds
back the rest of its partition. One that is postponed is sent again to the end of its topic instead.
"""

import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import Message as Record
from confluent_kafka.cimpl import NewTopic

from aerocast.common.errors import AeroCastError
from aerocast.ingest.brokers.base import PATIENCE, Address, Broker, Letter, Message, valid_topic

Result = TypeVar("Result")

STEP = 5.0  # seconds that a single request may take
POLL = 0.2
QUEUE_LIMIT = 50_000  # messages that a producer holds; librdkafka refuses more than 100,000


class Kafka(Broker):
    """A connection to a Kafka cluster."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._topics: set[str] = set()
        self._blocked: set[tuple[str, int]] = set()
        self._copies: set[bytes] = set()  # ids of what was postponed in this consumption
        self._current_producer: Producer | None = None
        self._config: dict[str, Any] = {
            "bootstrap.servers": ",".join(address.servers),
            "client.id": address.group,
            "socket.timeout.ms": int(STEP * 1000),
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,  # what goes wrong is raised by the call that meets it
            "error_cb": lambda _: None,
        }
        self._consumer: Consumer = Consumer(
            {
                **self._config,
                "group.id": address.group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,  # that there is nothing more is said, not guessed from a silence
                "fetch.wait.max.ms": 100,
                "auto.offset.reset": "earliest",
            }
        )
        try:
            self._request(lambda: self._consumer.list_topics(timeout=STEP))
        except AeroCastError:
            self.close()
            raise

    def publish_all(self, topic: str, letters: Sequence[Letter]) -> None:
        self._make(valid_topic(topic))
        errors: list[KafkaError] = []

        def on_delivery(error: "KafkaError | None", _: "Record") -> None:
            if error is not None:
                errors.append(error)

        def send() -> int:
            producer = self._producer()
            for letter in letters:
                if len(producer) >= QUEUE_LIMIT:  # room for the next, once the broker has answered
                    producer.poll(PATIENCE)
                producer.produce(
                    topic, letter.body, letter.key or None, headers={"id": letter.id}, on_delivery=on_delivery
                )
            return producer.flush(PATIENCE + 1 + len(letters) / 1000)

        try:
            unsent = self._request(send)
        except AeroCastError:
            self._current_producer = None
            raise
        if unsent or errors:
            self._current_producer = None  # one that has lost a message sends nothing more in order
            why = errors[0].str() if errors else "no answer in time"
            raise AeroCastError(f"the broker {self.address.public_url} did not accept a message for {topic}: {why}")

    def consume(self, topics: Sequence[str], seconds: float) -> Generator[Message, None, None]:
        for topic in topics:
            self._make(valid_topic(topic))
        partitions = self._positions(topics)
        self._request(partial(self._consumer.assign, partitions))
        self._blocked.clear()
        self._copies.clear()
        # A first fetch takes its time: silence counts from where every partition has said that this is its end.
        unread, quiet = {(place.topic, place.partition) for place in partitions}, time.monotonic()
        try:
            while (remaining := quiet + (PATIENCE if unread else seconds) - time.monotonic()) > 0:
                record = self._request(partial(self._consumer.poll, min(POLL, remaining)))
                if record is None:
                    continue
                topic, partition, offset = str(record.topic()), int(record.partition() or 0), int(record.offset() or 0)
                if (error := record.error()) is not None:
                    if self._is_end(error):
                        unread.discard((topic, partition))
                elif dict(record.headers() or ()).get("id") in self._copies:
                    self._blocked.add((topic, partition))  # that is the end of what was there
                elif (topic, partition) not in self._blocked:
                    token = (topic, partition, offset, record.key())
                    yield Message(topic, record.value() or b"", f"{partition}:{offset}", 1, token)
                    quiet = time.monotonic()
            if unread:
                raise AeroCastError(f"the broker {self.address.public_url} did not deliver all its messages in time")
        finally:
            with suppress(AeroCastError):
                self._request(self._consumer.unassign)

    def commit(self, message: Message) -> None:
        topic, partition, offset, _ = message.token
        if (topic, partition) in self._blocked:
            raise AeroCastError(f"{topic} {message.position}: an earlier message of its partition was postponed")
        after = TopicPartition(topic, partition, offset + 1)
        answers = self._request(lambda: self._consumer.commit(offsets=[after], asynchronous=False))
        for each in answers or ():
            if each.error:
                raise AeroCastError(f"the broker {self.address.public_url} did not commit {topic}: {each.error}")

    def later(self, message: Message) -> None:
        topic, partition, *_ = message.token
        self._blocked.add((topic, partition))

    def postpone(self, message: Message, seconds: float) -> None:
        copy = Letter(uuid.uuid4().hex, message.body, (message.token[-1] or b"").decode(errors="replace"))
        try:
            self.publish_all(message.topic, [copy])
        except AeroCastError:  # who may not write to the topic can only wait
            self.later(message)
            return
        self._copies.add(copy.id.encode())
        self.commit(message)

    def backlog(self, topics: Sequence[str]) -> int:
        total = 0
        for each in self._positions([valid_topic(topic) for topic in topics]):
            low, high = self._request(partial(self._consumer.get_watermark_offsets, each, timeout=STEP)) or (0, 0)
            total += max(0, high - max(each.offset, low))
        return total

    def close(self) -> None:
        with suppress(Exception):
            self._consumer.close()

    def _producer(self) -> "Producer":
        if self._current_producer is None:
            own = {"enable.idempotence": True, "linger.ms": 2, "message.timeout.ms": int(PATIENCE * 1000)}
            self._current_producer = Producer({**self._config, **own})
        return self._current_producer

    def _make(self, topic: str) -> None:
        """The topic, made with the cluster's own defaults where there is none and it may be made."""
        if topic in self._topics:
            return
        # A producer's question makes the topic where the cluster lets clients do so.
        metadata = self._request(lambda: self._producer().list_topics(topic, timeout=STEP)).topics.get(topic)
        if metadata is None or metadata.error is not None or not metadata.partitions:
            futures = AdminClient(self._config).create_topics([NewTopic(topic, -1, -1)], request_timeout=STEP)
            try:
                self._request(lambda: futures[topic].result(STEP + 1))
            except AeroCastError as error:
                if "already exists" not in str(error):
                    raise AeroCastError(f"topic {topic} does not exist and could not be created: {error}") from error
        self._topics.add(topic)

    def _positions(self, topics: Sequence[str]) -> "list[TopicPartition]":
        """Every partition of the topics, at the offset that was committed; at its beginning if none was."""
        partitions = []
        for topic in topics:
            metadata = self._request(partial(self._consumer.list_topics, topic, timeout=STEP)).topics.get(topic)
            partitions += [TopicPartition(topic, number) for number in sorted(metadata.partitions)] if metadata else []
        if not partitions:
            return []
        committed = self._request(lambda: self._consumer.committed(partitions, timeout=STEP))
        if error := next((each.error for each in committed if each.error), None):
            raise AeroCastError(f"the broker {self.address.public_url} did not report what was committed: {error}")
        offsets = [each.offset if each.offset >= 0 else OFFSET_BEGINNING for each in committed]
        return [TopicPartition(p.topic, p.partition, at) for p, at in zip(committed, offsets, strict=True)]

    def _is_end(self, error: "KafkaError") -> bool:
        """Whether a partition's end is what is told; most else the client gets over by itself."""
        if error.fatal():
            raise AeroCastError(f"the broker {self.address.public_url} refused: {error.str()}")
        return error.code() == KafkaError._PARTITION_EOF

    def _request(self, step: Callable[[], Result]) -> Result:
        """The step's result; its failure as a sentence."""
        try:
            return step()
        except KafkaException as error:
            fault = error.args[0] if error.args else error
            reason = fault.str() if hasattr(fault, "str") else str(fault)
            raise AeroCastError(f"the broker {self.address.public_url} cannot be used: {reason}") from error
        except (RuntimeError, TimeoutError) as error:
            raise AeroCastError(f"the broker {self.address.public_url} cannot be used: {error}") from error
