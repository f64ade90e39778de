"""A broker in memory."""

from collections.abc import Generator, Sequence

from aerocast.ingest.brokers import Letter, Message


class MemoryBroker:
    """A broker in memory that delivers uncommitted messages again."""

    def __init__(self) -> None:
        self.queue: list[Message] = []

    def publish_all(self, topic: str, letters: Sequence[Letter]) -> None:
        self.queue += [Message(topic, letter.body, letter.id, 1, None) for letter in letters]

    def consume(self, topics: Sequence[str], seconds: float) -> Generator[Message, None, None]:
        yield from list(self.queue)

    def commit(self, message: Message) -> None:
        self.queue.remove(message)

    def dead(self, message: Message, error: str) -> None:
        raise AssertionError(f"a dead letter: {error}")

    def later(self, message: Message) -> None:
        raise AssertionError("nothing stands in the way of a claim here")
