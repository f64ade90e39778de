"""Small messages between this platform and others: `connect(url)` opens a broker; `base` says what it promises."""

from aerocast.ingest.brokers.base import Broker, DeadLetter, Letter, Message, connect

__all__ = ["Broker", "DeadLetter", "Letter", "Message", "connect"]
