"""NATS JetStream: a stream a topic, and a durable pull consumer that has every message acknowledged by itself.

The client is asyncio's: it lives on a loop in one background thread, and each call waits for it, for a bounded time.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import nats
import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from aerocast.common.errors import AeroCastError
from aerocast.ingest.brokers.base import PATIENCE, Address, Broker, Letter, Message, valid_topic

Result = TypeVar("Result")

DUPLICATES = 600.0  # seconds in which the server knows an id again
LINGER = 1.0  # seconds that one request for a message waits at the server; after a lost connection it is asked again
AGAIN = 5.0  # seconds until a message that was put off may come again
STEP = 2.0  # seconds that a single request may take before it is repeated
IN_FLIGHT = 1000  # messages sent and not yet acknowledged


class Nats(Broker):
    """A connection to a NATS server with JetStream; it comes back by itself after the server was away."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
        self._thread.start()
        self._streams: dict[str, str] = {}
        self._fault = ""
        self._blocked: set[tuple[str, str]] = set()
        self._fetches: dict[str, asyncio.Task[list[Msg]]] = {}
        try:
            self._client, self._js = self._call(self._open())
        except BaseException:
            self._end()
            raise

    def publish_all(self, topic: str, letters: Sequence[Letter]) -> None:
        self._call(self._send(valid_topic(topic), letters), PATIENCE + len(letters) / 100)

    def consume(self, topics: Sequence[str], seconds: float) -> Generator[Message, None, None]:
        subscriptions = {topic: self._call(self._bind(valid_topic(topic))) for topic in topics}
        self._blocked.clear()
        quiet = time.monotonic()
        try:
            while (remaining := quiet + seconds - time.monotonic()) > 0:
                for topic, raw in self._call(self._next(subscriptions, remaining), remaining + PATIENCE):
                    about = raw.metadata
                    message = Message(topic, raw.data, str(about.sequence.stream), about.num_delivered, raw)
                    if (topic, message.position) in self._blocked:
                        self.later(message)  # not in this consumption
                        continue
                    yield message
                    quiet = time.monotonic()
            if not self._client.is_connected:
                raise AeroCastError(f"the broker {self.address.public_url} cannot be reached: the connection was lost")
        finally:
            with suppress(AeroCastError):
                self._call(self._release(subscriptions.values()))

    def commit(self, message: Message) -> None:
        # An acknowledgement that is acknowledged: without that a lost one would only show as a second delivery.
        self._call(self._insist(lambda: message.token.ack_sync(timeout=STEP)))

    def later(self, message: Message) -> None:
        self.postpone(message, AGAIN)

    def postpone(self, message: Message, seconds: float) -> None:
        self._blocked.add((message.topic, message.position))
        self._call(message.token.nak(delay=max(AGAIN, seconds)))

    def backlog(self, topics: Sequence[str]) -> int:
        return sum(self._call(self._lag(valid_topic(topic))) for topic in topics)

    def close(self) -> None:
        with suppress(AeroCastError):
            self._call(self._leave(), 2.0)
        self._end()

    async def _open(self) -> "tuple[Any, JetStreamContext]":
        async def note_error(error: Exception) -> None:
            """Keeps the error for the next time-out; the client keeps trying."""
            if not (self._fault and isinstance(error, OSError)):  # a lost connection says less than the server did
                self._fault = _sentence(error)

        client = await asyncio.wait_for(
            nats.connect(
                [f"nats://{server}" for server in self.address.servers],
                name=self.address.group,
                error_cb=note_error,
                connect_timeout=3,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,
            ),
            PATIENCE,
        )
        return client, client.jetstream(timeout=STEP, publish_async_max_pending=IN_FLIGHT)

    async def _leave(self) -> None:
        with suppress(Exception):
            await self._client.flush(timeout=1)  # what was put off is to be known there
        await self._client.close()

    async def _send(self, topic: str, letters: Sequence[Letter]) -> None:
        """Many at once; those without an answer again, by the same id, one after the other."""
        await self._stream(topic)
        futures = []
        for letter in letters if len(letters) > 1 else ():
            futures.append(await self._js.publish_async(topic, letter.body, wait_stall=STEP, headers=_headers(letter)))
        answers = (await asyncio.wait(futures, timeout=STEP))[0] if futures else set()
        for number, letter in enumerate(letters):
            if not futures or futures[number] not in answers or futures[number].exception():
                await self._insist(partial(self._js.publish, topic, letter.body, headers=_headers(letter)))

    async def _stream(self, topic: str) -> str:
        """The stream that keeps the topic, made where there is none: on disk, without a limit of age or size."""
        if topic not in self._streams:
            name = await self._find(topic)
            if name is None:
                config = StreamConfig(
                    name=topic,
                    subjects=[topic],
                    retention=RetentionPolicy.LIMITS,
                    storage=StorageType.FILE,
                    duplicate_window=DUPLICATES,
                )
                await self._insist(lambda: self._js.add_stream(config))
            self._streams[topic] = name or topic
        return self._streams[topic]

    async def _find(self, topic: str) -> str | None:
        """The stream that takes the topic's messages, whatever its name: an operator may have made it."""

        async def stream_name() -> str | None:
            try:
                return str(await self._js.find_stream_name_by_subject(topic))
            except NotFoundError:
                return None

        return await self._insist(stream_name)

    def _consumer(self, topic: str) -> str:
        """The durable consumer's name: a stream that an operator made may keep several topics."""
        return f"{self.address.group}-{topic}"

    async def _bind(self, topic: str) -> "JetStreamContext.PullSubscription":
        stream, name = await self._stream(topic), self._consumer(topic)
        config = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self.address.ack_wait,
            # Unlimited: past a limit the server would drop a message silently. What must not come again is a dead
            # letter, and that we decide.
            max_deliver=-1,
        )
        return await self._insist(lambda: self._js.pull_subscribe(topic, durable=name, stream=stream, config=config))

    async def _next(
        self, subscriptions: "dict[str, JetStreamContext.PullSubscription]", seconds: float
    ) -> "list[tuple[str, Msg]]":
        """What comes first on any topic. One message a request: nothing is held that nobody works on."""
        for topic, subscription in subscriptions.items():
            if topic not in self._fetches:
                self._fetches[topic] = asyncio.create_task(subscription.fetch(1, timeout=LINGER))
        await asyncio.wait(self._fetches.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        messages = []
        for topic in [topic for topic, task in self._fetches.items() if task.done()]:
            try:
                messages += [(topic, raw) for raw in self._fetches.pop(topic).result()]
            except Exception as error:  # nothing came, or the connection is away for a while
                if not _is_temporary(error):
                    raise
                if not isinstance(error, asyncio.TimeoutError):
                    await asyncio.sleep(0.1)
        return messages

    async def _release(self, subscriptions: "Any") -> None:
        """What was fetched and not handed over may go to the next consumer at once."""
        tasks, self._fetches = list(self._fetches.values()), {}
        for task in tasks:
            task.cancel()
        for batch in await asyncio.gather(*tasks, return_exceptions=True):
            for raw in batch if isinstance(batch, list) else ():
                await raw.nak()
        for subscription in subscriptions:
            with suppress(Exception):
                await subscription.unsubscribe()

    async def _lag(self, topic: str) -> int:
        stream = self._streams.get(topic) or await self._find(topic)
        if stream is None:
            return 0

        async def message_count() -> int:
            try:
                about = await self._js.consumer_info(stream, self._consumer(topic))
            except NotFoundError:  # nobody has consumed yet
                return (await self._js.stream_info(stream)).state.messages
            return (about.num_pending or 0) + (about.num_ack_pending or 0)

        return await self._insist(message_count)

    async def _insist(self, step: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Repeats a step while the server is away, up to `PATIENCE`; every step here may be repeated."""
        deadline = time.monotonic() + PATIENCE - STEP
        while True:
            try:
                return await step()
            except Exception as error:
                if not _is_temporary(error) or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)

    def _call(self, work: Coroutine[Any, Any, Result], seconds: float = PATIENCE) -> Result:
        """The result of what runs on the loop; every failure becomes a sentence."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds + 1)
        except TimeoutError as error:
            future.cancel()
            why = f": {self._fault}" if self._fault else ""
            raise AeroCastError(f"the broker {self.address.public_url} did not answer in time{why}") from error
        except nats.js.errors.ServiceUnavailableError as error:
            raise AeroCastError(
                f"the broker {self.address.public_url} has no JetStream (start it as nats-server -js)"
            ) from error
        except (nats.errors.Error, OSError) as error:
            raise AeroCastError(f"the broker {self.address.public_url} refused: {_sentence(error)}") from error

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2.0)
        if not self._thread.is_alive():
            self._loop.close()


def _headers(letter: Letter) -> dict[str, str]:
    return {"Nats-Msg-Id": letter.id}


def _is_temporary(error: Exception) -> bool:
    """Whether it is worth another attempt: no answer, no connection, or JetStream is not up again yet."""
    return isinstance(
        error,
        asyncio.TimeoutError
        | nats.errors.ConnectionReconnectingError
        | nats.errors.NoRespondersError
        | nats.errors.StaleConnectionError
        | nats.js.errors.NoStreamResponseError
        | nats.js.errors.ServiceUnavailableError
        | nats.js.errors.TooManyStalledMsgsError,
    )


def _sentence(error: Exception) -> str:
    description = getattr(error, "description", None)
    return str(description or error or type(error).__name__)
