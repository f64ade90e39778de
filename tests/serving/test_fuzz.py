"""No request, and no bytes of a file, lead to an answer of 500: tens of thousands of random ones, from a printed seed.

`AEROCAST_FUZZ=120000` sends more; `AEROCAST_FUZZ_FROM` begins at another number, to see one that failed again.
"""

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest

from aerocast.contracts import declared
from aerocast.ingest.channels.posted import Limits
from serving.app import create_app
from serving.clients import Access
from serving.heads import App, answering_head
from tests.factories.feeds import small_feed
from tests.factories.releases import publish
from tests.factories.requests import TOKEN, Asked, Fuzzer
from tests.factories.served_files import DECLARED, FILES, POSTED, write_every_file
from tests.factories.tails import write_tail
from tests.harness.reader import Reader
from tests.harness.server import Server, end_request

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(0)]

REQUESTS, FIRST = int(os.environ.get("AEROCAST_FUZZ", "20000")), int(os.environ.get("AEROCAST_FUZZ_FROM", "0"))
AT_ONCE = 64


def sound(place: Path) -> Path:
    publish(place, 1, bias=1.0)
    publish(place, 2, target="pressure")
    write_tail(place)
    declared.publish(place, small_feed(place))
    return place


async def answer(app: App, asked: Asked) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, header fields and body of what the application answers."""
    parts, sent = list(asked.chunks), []

    async def receive() -> dict[str, Any]:
        body = parts.pop(0) if parts else b""
        return {"type": "http.request", "body": body, "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "state": {},
        "method": asked.method,
        "path": unquote(asked.path.decode()),
        "raw_path": asked.path,
        "query_string": asked.query,
        "headers": asked.headers,
    }
    await app(scope, receive, send)
    body = b"".join(each.get("body", b"") for each in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


async def flood(place: Path, seed: int) -> Counter[int]:
    """What the requests FIRST .. FIRST + REQUESTS are answered, by status."""
    litestar = create_app(place, 0.5, 10.0, Access(TOKEN), Limits(rows=10**9))
    app, fuzzer, found = answering_head(litestar), Fuzzer(seed), Counter[int]()
    numbers, faults = iter(range(FIRST, FIRST + REQUESTS)), []

    async def client() -> None:
        for number in numbers:
            asked = fuzzer.request(number)
            try:
                status, headers, body = await answer(app, asked)
            except Exception as error:  # the server under it would answer so
                status, headers, body = 500, {}, repr(error).encode()
            found[status] += 1
            if status >= 500 or (status >= 400 and asked.method != "HEAD" and not is_problem(status, headers, body)):
                faults.append(f"AEROCAST_FUZZ_FROM={number}: {status} {body[:300]!r} to {asked!r:.2000}")

    async with litestar.lifespan():
        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    assert not faults, f"{len(faults)} with --seed {seed}, such as\n" + "\n".join(faults[:5])
    return found


def is_problem(status: int, headers: dict[bytes, bytes], body: bytes) -> bool:
    """Whether the body is the document that says what was wrong."""
    return headers[b"content-type"] == b"application/problem+json" and msgspec.json.decode(body)["status"] == status


def test_no_request_gives_status_500(tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = asyncio.run(flood(sound(tmp_path), seed))
    with capsys.disabled():
        print(f"\nseed {seed}: {found.total()} requests, by status {dict(sorted(found.items()))}")
    assert found.total() == REQUESTS
    assert {200, 202, 400, 404, 405, 415, 422} <= {*found} or REQUESTS < 5000, "each kind of answer was reached"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(sound(tmp_path), settings={"AEROCAST_TOKEN": TOKEN}) as started:
        yield started


def test_no_socket_bytes_give_status_500(server: Server, seed: int) -> None:
    """As real requests, whose lines and lengths are wrong now and then."""
    host, port = server.url.removeprefix("http://").split(":")
    fuzzer, found = Fuzzer(seed), Counter[int]()
    for number in range(REQUESTS // 40):
        asked, chance = fuzzer.request(-1 - number), random.Random(f"{seed} bytes {number}")
        body = b"".join(asked.chunks)
        line = f"{asked.method} ".encode() + asked.path + (b"?" + asked.query if asked.query else b"") + b" HTTP/1.1"
        named = [*asked.headers, (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        whole = bytearray(b"\r\n".join([line, *(name + b": " + value for name, value in named), b"", body]))
        for _ in range(chance.choice((0, 0, 1, 3))):
            whole[chance.randrange(len(whole))] = chance.randrange(256)
        with socket.create_connection((host, int(port)), timeout=120) as client, suppress(ConnectionError):
            client.sendall(whole)
            end_request(client)
            head = client.recv(1 << 16)
            status = int(head.split()[1]) if head else 0
            found[status] += 1
            assert status < 500, f"--seed {seed}, {number}: {head!r} to {bytes(whole)!r:.3000}"
    print(f"seed {seed}: {found.total()} requests on sockets, by status {dict(sorted(found.items()))}")
    assert {200, 400} <= found.keys(), "who is well-formed is answered, and who is not is told so"
    assert server.process.poll() is None
    assert "Traceback" not in "".join(server.log)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_every_file(tmp_path)
    return tmp_path


def test_no_file_bytes_give_status_500(home: Path, seed: int) -> None:
    """Whatever a file becomes, the look-up goes on, forecasts are answered, and what there is can be told."""
    reader, chance = Reader(home), random.Random(f"{seed} files")
    assert reader.left_out() == {}
    for name in (*FILES, DECLARED, POSTED):
        whole = (home / name).read_bytes()
        for _ in range(REQUESTS // 200):
            bent = bytearray(whole)
            for _ in range(chance.choice((1, 1, 2, 5, 40))):
                at = chance.randrange(len(bent) + 1)
                bent[at : at + chance.choice((0, 1, 1, 8))] = chance.randbytes(chance.choice((0, 1, 1, 8)))
            (home / name).write_bytes(bent)
            print(f"--seed {seed}: {name} is {bytes(bent)!r:.2000}")
            reader.look()
            reader.works()
        (home / name).write_bytes(whole)
        reader.look()
