"""Defines what every broker does for the platform, whatever protocol it speaks, and parses its address.

Messages arrive at least once, in no promised order: a consumer commits a message only when its effect is durable, and
makes that effect idempotent. What cannot be handled goes to `DLQ-<topic>`, with the reason.
"""

import base64
import hashlib
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

import msgspec

from aerocast.common.errors import AeroCastError

GROUP = "aerocast"  # under which a broker remembers what was committed; `?group=` names another one
DEAD = "DLQ-"
PATIENCE = 10.0  # seconds that any single step may take, repetitions included
BODY_BYTES = 256 << 10  # of a body in a dead letter: brokers refuse messages beyond about a megabyte
OPTIONS = ("group", "ack_wait")
ACK_WAIT = 30.0
_TOPIC = re.compile(r"^[A-Za-z0-9_-]{1,200}$")


class Letter(NamedTuple):
    """One message to be sent; those of one `key` stay in order where a topic has several partitions.

    The `id` lets a broker drop what it was sent twice within a while, and a reader drop the rest.
    """

    id: str
    body: bytes
    key: str = ""


class Message(NamedTuple):
    """One message as handed over; `position` is the broker's name of its place in the topic, `token` its own business.

    `deliveries` counts how often it was handed over, this one included; 1 where the broker does not count.
    """

    topic: str
    body: bytes
    position: str
    deliveries: int
    token: Any


class DeadLetter(msgspec.Struct, frozen=True):
    """What `DLQ-<topic>` holds: the message (base64 where it is no UTF-8) and why it could not be handled.

    `size` is that of the whole body, in bytes; of a very long one only the beginning is here.
    """

    topic: str
    position: str
    time: datetime
    error: str
    body: str
    encoding: str
    size: int
    sha256: str

    @classmethod
    def of(cls, message: Message, error: str, time: datetime) -> Self:
        head = message.body[:BODY_BYTES]
        digest = hashlib.sha256(message.body).hexdigest()
        try:
            body, encoding = head.decode(), "utf-8"
        except UnicodeDecodeError:
            body, encoding = base64.b64encode(head).decode(), "base64"
        return cls(message.topic, message.position, time, error, body, encoding, len(message.body), digest)


class Address(NamedTuple):
    """The parts of a broker's URL; `public_url` holds no password."""

    url: str
    scheme: str
    servers: tuple[str, ...]
    group: str
    ack_wait: float

    @property
    def public_url(self) -> str:
        return f"{self.scheme}://{','.join(server.rpartition('@')[2] for server in self.servers)}"

    @classmethod
    def of(cls, url: str) -> Self:
        """Raises AeroCastError if the address is invalid."""
        parts = urlsplit(url)
        servers = tuple(filter(None, parts.netloc.split(",")))
        if parts.scheme not in SCHEMES or not servers or parts.path.strip("/"):
            forms = " or ".join(f"{scheme}://host:port" for scheme in SCHEMES)
            raise AeroCastError(f"AEROCAST_BROKER: an address of scheme {parts.scheme!r} must be {forms}")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise AeroCastError(f"AEROCAST_BROKER: no such option: {', '.join(unknown)}; allowed: {', '.join(OPTIONS)}")
        group, wait = options.get("group", GROUP), options.get("ack_wait", str(ACK_WAIT))
        if not _TOPIC.match(group):
            raise AeroCastError(f"AEROCAST_BROKER: group {group!r} may contain only letters, digits, - and _")
        if not re.fullmatch(r"\d+(\.\d+)?", wait) or float(wait) < 1:
            raise AeroCastError(f"AEROCAST_BROKER: ack_wait {wait!r} must be a number of seconds, 1 or more")
        return cls(url, parts.scheme, servers, group, float(wait))

    def probe(self) -> None:
        """Raises AeroCastError if no server accepts a connection: the clients would keep trying for a long time."""
        reason = ""
        for server in self.servers:
            host, _, port = server.rpartition("@")[2].rpartition(":")
            if not host or not port.isdigit():
                raise AeroCastError(f"AEROCAST_BROKER: {server.rpartition('@')[2]!r} must be host:port")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=3).close()
                return
            except (OSError, OverflowError) as error:
                reason = getattr(error, "strerror", None) or str(error)
        raise AeroCastError(f"the broker {self.public_url} cannot be reached: {reason}")


class Broker(ABC):
    """A connection to a broker, for one thread; to be closed.

    Raises, from every method, within about `PATIENCE` seconds:
        AeroCastError: the broker cannot be reached, or refuses.
    """

    def __init__(self, address: Address) -> None:
        self.address = address

    @abstractmethod
    def publish_all(self, topic: str, letters: Sequence[Letter]) -> None:
        """Sends messages in order; on return the broker has acknowledged every one. Makes the topic."""

    @abstractmethod
    def consume(self, topics: Sequence[str], seconds: float) -> Generator[Message, None, None]:
        """Messages that are not committed yet, until none has come for `seconds`. One consumption at a time.

        To be closed, or exhausted, before the next one.
        """

    @abstractmethod
    def commit(self, message: Message) -> None:
        """Marks the message as done: after return it will not be delivered again."""

    @abstractmethod
    def later(self, message: Message) -> None:
        """Puts the message off: a later consumption delivers it again."""

    def postpone(self, message: Message, seconds: float) -> None:
        """As `later`, but messages behind it do not wait for it; not before so many `seconds`, where supported."""
        self.later(message)

    @abstractmethod
    def backlog(self, topics: Sequence[str]) -> int:
        """Counts the messages that are not committed yet, including those in progress. Creates no topic."""

    @abstractmethod
    def close(self) -> None:
        """Ends the connection; never raises."""

    def publish(self, topic: str, body: bytes, id: str, key: str = "") -> None:
        """Sends one message (see `publish_all`)."""
        self.publish_all(topic, [Letter(id, body, key)])

    def dead(self, message: Message, error: str) -> None:
        """Sends the message to `DLQ-<topic>`; it is still to be committed."""
        letter = DeadLetter.of(message, error, datetime.now(UTC))
        self.publish(DEAD + message.topic, msgspec.json.encode(letter), f"{message.position}/{letter.sha256}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(url: str) -> Broker:
    """The broker at `nats://host:port` or `kafka://host:port[,host:port]`.

    Options: `?group=` under which positions are kept; `?ack_wait=` seconds until NATS hands over again what a consumer
    took and never answered for.

    Raises:
        AeroCastError: no such address, its client library is not installed, or nobody answers there.
    """
    address = Address.of(url)
    try:
        if address.scheme == "nats":
            from aerocast.ingest.brokers.nats import Nats

            kind: type[Broker] = Nats
        else:
            from aerocast.ingest.brokers.kafka import Kafka

            kind = Kafka
    except ImportError as error:
        raise AeroCastError(f"{address.scheme}: its client library is not installed ({error})") from error
    address.probe()
    return kind(address)


def valid_topic(topic: str) -> str:
    """Returns the topic if both brokers allow such a name. Raises AeroCastError otherwise."""
    if not _TOPIC.match(topic):
        raise AeroCastError(f"topic {topic!r} may contain only letters, digits, - and _")
    return topic


SCHEMES = ("nats", "kafka")
