"""A small HTTP/1.1 client that costs little: keep-alive connections, each asking again as soon as it is answered."""

import asyncio
import json
import time
from dataclasses import dataclass

import numpy as np

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Load:
    """What one endpoint did under load: latencies in milliseconds, and requests a second over the whole span."""

    p50: float
    p99: float
    rate: float


def request(path: str, body: object = None) -> bytes:
    """A whole request: GET, or POST of a JSON body."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: {HOST}\r\n"
    if content:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


def post(path: str, content: bytes, kind: str) -> bytes:
    """A whole POST of a body of this content type."""
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def load(port: int, message: bytes, clients: int, requests: int) -> Load:
    """`requests` in all, shared by so many concurrent clients. Raises SystemExit at an answer but 200 or 202."""
    return asyncio.run(_load(port, message, clients, requests))


async def _load(port: int, message: bytes, clients: int, requests: int) -> Load:
    links = [await asyncio.open_connection(HOST, port) for _ in range(clients)]
    began = time.perf_counter()
    parts = await asyncio.gather(*(_client(*link, message, requests // clients) for link in links))
    took = time.perf_counter() - began
    for _, writer in links:
        writer.close()
    latencies = np.concatenate([np.array(part) for part in parts]) * 1000
    p50, p99 = np.quantile(latencies, [0.5, 0.99])
    return Load(float(p50), float(p99), len(latencies) / took)


async def _client(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes, requests: int
) -> list[float]:
    latencies = []
    for _ in range(requests):
        began = time.perf_counter()
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        latencies.append(time.perf_counter() - began)
        if not head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 202 ")):
            raise SystemExit(f"the server answered {head.splitlines()[0].decode()}: {body.decode()[:500]}")
    return latencies


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    raise SystemExit("the server's answer has no content-length")
