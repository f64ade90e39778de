"""Clients of a server that are slow on purpose, or that ask as fast as they can, beside one that is well-behaved."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from measuring.http import HOST

PAUSE = 0.02  # seconds between two requests of the well-behaved client
NOT_ANSWERED = "none"
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"


@dataclass(frozen=True)
class Met:
    """What the well-behaved client met: latencies in milliseconds, its own statuses, and what became of the others.

    `ended` is how many connections of slow clients the server ended; `statuses` are those of the fast ones.
    """

    p50: float
    p99: float
    own: Counter[str]
    ended: int
    statuses: Counter[str]


@dataclass(frozen=True)
class Paced:
    """What a schedule of requests met: how many a second were sent, and the answers by status."""

    rate: float
    statuses: Counter[str]


def paced(port: int, message: bytes, connections: int, rate: float, seconds: float) -> Paced:
    """`rate` requests a second on a schedule that waits for no answer, as long as one of the connections is free."""
    return asyncio.run(_paced(port, message, connections, rate, seconds))


def slow(port: int, message: bytes, dripping: int, stalled: int, seconds: float) -> Met:
    """`dripping` heads grow by a byte a second, not in step, and `stalled` bodies of 8 MB end after half of them."""
    return asyncio.run(_slow(port, message, dripping, stalled, seconds))


def fast(port: int, message: bytes, connections: int, seconds: float) -> Met:
    """So many connections ask again as soon as they are answered."""
    return asyncio.run(_fast(port, message, connections, seconds))


async def _slow(port: int, message: bytes, dripping: int, stalled: int, seconds: float) -> Met:
    ended = 0

    async def hold(begin: bytes, drip: bool, after: float) -> None:
        nonlocal ended
        await asyncio.sleep(after)
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(begin)
            reading = asyncio.create_task(reader.read())
            with suppress(OSError):
                while not reading.done():
                    await asyncio.wait([reading], timeout=1)
                    if drip and not reading.done():
                        writer.write(b"x")
            ended += 1
            with suppress(OSError):
                await reading
            writer.close()

    body = HEAD + b"Content-Length: 8388608\r\n\r\n" + b" " * (4 << 20)
    holders = [(HEAD + b"x-", True)] * dripping + [(body, False)] * stalled
    # Strangers do not drip in step.
    tasks = [asyncio.create_task(hold(*each, number / len(holders))) for number, each in enumerate(holders)]
    latencies, own = await _ask(port, message, seconds)
    met = _met(latencies, own, ended, Counter())
    await _cancel(tasks)
    return met


async def _fast(port: int, message: bytes, connections: int, seconds: float) -> Met:
    statuses: Counter[str] = Counter()

    async def flood() -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(HOST, port)
                while True:
                    statuses[await _once(reader, writer, message)] += 1

    tasks = [asyncio.create_task(flood()) for _ in range(connections)]
    latencies, own = await _ask(port, message, seconds)
    met = _met(latencies, own, 0, Counter(statuses))
    await _cancel(tasks)
    return met


async def _paced(port: int, message: bytes, connections: int, rate: float, seconds: float) -> Paced:
    statuses: Counter[str] = Counter()
    began = time.perf_counter()
    due = iter(np.arange(0, seconds, 1 / rate).tolist())

    async def ask() -> None:
        link = None
        for at in due:
            await asyncio.sleep(began + at - time.perf_counter())
            try:
                link = link or await asyncio.open_connection(HOST, port)
                statuses[await _once(*link, message)] += 1
            except (OSError, asyncio.IncompleteReadError):
                statuses[NOT_ANSWERED] += 1
                link = None

    await asyncio.gather(*(ask() for _ in range(connections)))
    return Paced(statuses.total() / (time.perf_counter() - began), statuses)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _ask(port: int, message: bytes, seconds: float) -> tuple[list[float], Counter[str]]:
    """Latencies of a client that pauses between its requests, connecting again whenever it must."""
    latencies, own, until = [], Counter[str](), time.perf_counter() + seconds
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while time.perf_counter() < until:
        began = time.perf_counter()
        try:
            connection = connection or await asyncio.open_connection(HOST, port)
            own[await asyncio.wait_for(_once(*connection, message), 10)] += 1
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            own[NOT_ANSWERED] += 1
            connection = None
        latencies.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE)
    return latencies, own


async def _once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> str:
    """The status of one answer, whose body is read."""
    writer.write(message)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in head:
        while (size := int(await reader.readline(), 16)) > 0:
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    else:
        length = next((line for line in head.split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        await reader.readexactly(int(length.split(b":")[1]))
    return head.split()[1].decode()


def _met(latencies: list[float], own: Counter[str], ended: int, statuses: Counter[str]) -> Met:
    p50, p99 = np.quantile(np.array(latencies) * 1000, [0.5, 0.99])
    return Met(float(p50), float(p99), own, ended, statuses)
