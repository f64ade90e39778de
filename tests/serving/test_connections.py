"""Clients that leave things undone over real sockets: they are ended, told why where they can be, and harm nobody."""

import gzip
import json
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

import serving.__main__ as serving_process
from aerocast.contracts import declared
from serving.app import create_app
from serving.config import ServerSettings
from tests.factories.feeds import small_feed
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.server import Server, end_request, metric
from tests.harness.waits import until

pytestmark = pytest.mark.e2e  # servers as processes, and time-outs that are waited for

FILES = 256
QUICK = {"AEROCAST_HEAD_SECONDS": "3", "AEROCAST_STALL_SECONDS": "3"}
READING = b'{"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": 1.5}'
GET = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
POST = b"POST /observations/small HTTP/1.1\r\nhost: localhost\r\n"
MEGABYTE = b" " * (1 << 20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It may open 256 files, and waits three seconds for what is missing."""
    home = tmp_path_factory.mktemp("home")
    publish(home)
    write_tail(home)
    declared.publish(home, small_feed(home))
    with Server(home, settings=QUICK, files=(64, FILES)) as started:
        yield started
        assert "Traceback" not in "".join(started.log), "".join(started.log)


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def connect(server: Server, sent: bytes = b"") -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    made = socket.create_connection((host, int(port)), timeout=120)
    made.sendall(sent)
    return made


def answer(client: socket.socket) -> tuple[int, bytes]:
    """The status of what is sent until the server ends the connection, and all of it; 0 if nothing came."""
    whole = b""
    with suppress(ConnectionResetError):
        while part := client.recv(1 << 16):
            whole += part
    return int(whole.split()[1]) if whole else 0, whole


def refused(client: socket.socket, status: int, slug: str) -> None:
    found, whole = answer(client)
    assert found == status, whole
    head, _, body = whole.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert json.loads(body)["type"] == f"urn:aerocast:problem:{slug}"


def post(server: Server) -> int:
    """Of somebody else, on a connection of its own."""
    return httpx.post(f"{server.url}/observations/small", content=READING, timeout=60).status_code


def test_idle_connections_are_closed_for_new_ones(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(connect(server))
        for _ in range(20):
            assert httpx.get(f"{server.url}/health", timeout=60).status_code == 200
            assert post(server) == 202
        busy = [stack.enter_context(connect(server, GET)) for _ in range(100)]
        for client in busy:
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    assert server.process.poll() is None


def test_new_connection_without_idle_ones_is_answered_with_refusal(server: Server) -> None:
    """Its own time-outs end those that hold the places."""
    with ExitStack() as stack:
        held = [stack.enter_context(connect(server, POST + b"content-length: 100\r\n\r\n{")) for _ in range(FILES)]
        late = stack.enter_context(connect(server, GET))
        status, whole = answer(late)
        assert status in (0, 503), whole
        until(lambda: server_takes(server))
        assert any(answer(client)[0] in (408, 503) for client in held)
    assert post(server) == 202


def server_takes(server: Server) -> bool:
    with suppress(httpx.TransportError):
        return post(server) == 202
    return False


@pytest.mark.parametrize("length", [100, 8 << 20])
def test_stalled_uploads_block_nobody_and_end(server: Server, http: httpx.Client, length: int) -> None:
    before = metric(http, 'aerocast_connections_refused_total{reason="request-timeout"}') if length > 100 else 0
    head = POST + f"content-length: {length}\r\n\r\n".encode()
    with ExitStack() as stack:
        stalled = [stack.enter_context(connect(server, head + b"[" + b" " * (length - 60))) for _ in range(20)]
        assert {post(server) for _ in range(20)} == {202}
        for client in stalled:
            assert answer(client)[0] in (408, 429)
    assert metric(http, 'aerocast_connections_refused_total{reason="request-timeout"}') > before


def test_unfinished_heads_are_ended(server: Server, http: httpx.Client) -> None:
    """One byte now and then is no progress."""
    with ExitStack() as stack:
        begun = [b"GET /a", b"GET /health HTTP/1.1\r\n", GET[:-2], GET + GET[:9]]
        slow = [stack.enter_context(connect(server, head)) for head in begun]
        ended = threading.Event()

        def trickle() -> None:
            while not ended.wait(0.2):
                for client in slow:
                    with suppress(OSError):
                        client.sendall(b"x: y\r\n" if client is slow[2] else b"x")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            for client in slow[:3]:
                refused(client, 408, "request-timeout")
            assert answer(slow[3])[1].startswith(b"HTTP/1.1 200 ")
        finally:
            ended.set()
            thread.join()
        assert http.get("/health").status_code == 200


@pytest.mark.parametrize("sent", [
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"GET /health?" + b"a" * 70_000,
    b"GET /health HTTP/1.1\r\nx: " + b"a" * 70_000 + b"\r\n\r\n",
    b"GET /health HTTP/1.1\r\n" + b"x: y\r\n" * 9000,
    b"GET /health HTTP/1.1\r\n" + b"a" * 70_000,
])  # fmt: skip
def test_oversized_head_is_refused(server: Server, sent: bytes) -> None:
    with connect(server, sent) as client:
        refused(client, 431, "request-head-too-large")


@pytest.mark.parametrize(
    "sent",
    [
        b"\0\1\2\3\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET http://[::1 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "GET /é HTTP/1.1\r\n\r\n".encode(),
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /eval HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_malformed_http_is_answered_with_problem(server: Server, sent: bytes) -> None:
    with connect(server, sent) as client:
        end_request(client)
        refused(client, 400, "malformed-request")


def chunked(part: bytes, extension: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n" % (len(part), extension, part)


def flood(client: socket.socket, part: bytes) -> tuple[int, bytes]:
    """Sends for as long as the server takes it."""
    with suppress(OSError):
        while True:
            client.sendall(part)
    return answer(client)


@pytest.mark.parametrize("path", ["/observations/small", "/predict", "/health", "/nothing"])
def test_chunked_body_ends_at_size_limit(server: Server, path: str) -> None:
    method = "GET" if path == "/health" else "POST"
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    before = server.memory()
    with connect(server, head) as client:
        assert flood(client, chunked(MEGABYTE))[0] in (0, 200, 404, 405, 413)
    assert server.memory() < before + 60
    assert post(server) == 202


def test_body_of_extensions_or_trailers_is_ended(server: Server) -> None:
    head = POST + b"transfer-encoding: chunked\r\n\r\n"
    before = server.memory()
    for part in (chunked(b" ", b";" + b"a" * 60_000), b"0\r\n" + b"x: " + b"a" * (1 << 20)):
        with connect(server, head) as client:
            assert flood(client, part)[0] in (0, 400)
    assert server.memory() < before + 60


def test_compression_bomb_is_refused_cheaply(server: Server) -> None:
    bomb = gzip.compress(b" " * (64 << 20), 1)
    before = server.memory()
    answers = []

    def send() -> None:
        headers = {"content-encoding": "gzip"}
        found = httpx.post(f"{server.url}/observations/small", content=bomb, headers=headers, timeout=120)
        answers.append(found.status_code)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert {413} <= set(answers) <= {413, 429}
    assert server.memory() < before + 8 * 40


def test_expect_is_answered_only_where_body_is_accepted(server: Server) -> None:
    with connect(server, POST + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(READING)) as client:
        assert client.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(READING)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 202 ")
    expecting = b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n"
    for head, length, status in ((POST, 99_999_999, 413), (POST.replace(b"small", b"none"), 60, 404)):
        with connect(server, head + expecting % length) as client:
            found, whole = answer(client)  # the connection ends: nobody knows whether the body still comes
            assert found == status, whole
            assert b"100 Continue" not in whole


def test_upgrade_offer_is_ignored(server: Server) -> None:
    offer = b"connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
    head = POST + offer + b"content-length: %d\r\n\r\n" % len(READING)
    with connect(server, head + READING) as client:
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 202 ")


def test_half_closed_client_gets_its_answers(server: Server) -> None:
    with connect(server, GET * 5) as client:
        end_request(client)
        assert answer(client)[1].count(b"HTTP/1.1 200 ") == 5


def test_pipelined_requests_are_limited(server: Server) -> None:
    with connect(server, GET * 50) as client:
        whole = b""
        while whole.count(b"HTTP/1.1 200 ") < 50:
            whole += client.recv(1 << 16)
    with connect(server, GET * 3000) as client:
        assert b"429" in answer(client)[1]


@pytest.mark.parametrize("path", [b"/predict", b"/explain"])
def test_more_forecasts_than_answered_at_once_are_refused(server: Server, path: bytes) -> None:
    body = json.dumps({"sequence": [[40.0, 9.0, 1015.0]] * 48}).encode()
    ask = b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (path, len(body)) + body
    counts: Counter[bytes] = Counter()
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(100)]
        while not {b"200", b"429"} <= counts.keys():
            server.process.send_signal(signal.SIGSTOP)  # all of them are there when it looks again
            for client in clients:
                client.sendall(ask)
            server.process.send_signal(signal.SIGCONT)
            for client in clients:
                head = client.recv(1 << 16)
                while not head.endswith(b"}"):
                    head += client.recv(1 << 16)
                status = head.split()[1]
                assert status in (b"200", b"429"), head
                assert (b"retry-after: 1" in head) == (status == b"429")
                counts[status] += 1
    assert httpx.post(f"{server.url}/predict", json={"station": "JFK"}).status_code == 200


def test_aborted_clients_leave_nothing_behind(server: Server, http: httpx.Client) -> None:
    for sent in (b"", GET[:10], GET, POST + b"content-length: 1000000\r\n\r\n[", GET * 50):
        for _ in range(60):
            client = connect(server, sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
            client.close()
    until(lambda: metric(http, "aerocast_connections ") <= 2)
    assert post(server) == 202


def test_client_that_does_not_read_is_disconnected(server: Server, http: httpx.Client) -> None:
    client = connect(server)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
    client.setblocking(False)
    ask = b"GET /schema/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"

    def ended() -> bool:
        with suppress(BlockingIOError):
            try:
                client.send(ask)
            except ConnectionError:
                return True
        return False

    until(ended)
    client.close()
    assert metric(http, 'aerocast_connections_refused_total{reason="slow-reader"}') >= 1


PATHS = ("/health", "/feeds", "/models", "/metrics", "/routine-retrain-check", "/schema", "/schema/openapi.json")


@pytest.mark.parametrize("path", [*PATHS, "/reports/noaa/temperature/none.png", "/nothing", "/predict", "/explain"])
def test_head_answers_like_get_without_body(http: httpx.Client, path: str) -> None:
    head, get = http.head(path), http.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert abs(int(head.headers["content-length"]) - len(get.content)) < 100  # times and counts have other lengths


def test_head_is_listed_as_allowed_method(http: httpx.Client) -> None:
    assert "HEAD" in http.post("/health").headers["allow"]


def test_keep_alive_outlives_timeout_of_proxy(tmp_path: Path) -> None:
    """60 s: a proxy that keeps one for longer sends into a closed one now and then, and says 502."""
    server = serving_process._server(create_app(tmp_path), ServerSettings())
    assert server.config.timeout_keep_alive == ServerSettings().keep_alive_seconds == 75


def test_keep_alive_is_configurable(serve: Callable[..., tuple[Server, Any]]) -> None:
    server, _ = serve(KEEP_ALIVE_SECONDS="1")
    for sent in (b"", GET, b"\r\n"):
        with connect(server, sent) as client:
            client.settimeout(45)  # less than the default of 75 s
            answer(client)  # returns when the server ends it


def test_stop_answers_running_requests_and_waits_for_no_other(serve: Callable[..., tuple[Server, Any]]) -> None:
    server, _ = serve()
    with (
        connect(server) as idle,
        connect(server, b"POST /eval HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{") as stalled,
        connect(server, GET[:9]) as begun,
    ):
        until(lambda: metric(httpx.Client(base_url=server.url), "aerocast_connections ") >= 4)
        server.process.send_signal(signal.SIGTERM)
        refused(stalled, 503, "stopping")
        assert answer(idle)[0] == 0
        assert answer(begun)[0] in (0, 503)
        assert server.process.wait(60) == 0
    assert "Traceback" not in "".join(server.log)
