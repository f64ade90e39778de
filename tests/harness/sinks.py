"""What receives alerts in tests: an HTTP server and a relay for mail, on real sockets, that note what came."""

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Posts:
    """The bodies and header fields that came, and the status with which they are answered."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.status = 204
        self.location = ""

    @property
    def ids(self) -> list[str]:
        return [msgspec.json.decode(body)["id"] for body in self.bodies]

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(body) for body in self.bodies]


@contextmanager
def http_sink() -> Iterator[Posts]:
    posts = Posts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            posts.headers.append(dict(self.headers.items()))
            self.send_response(posts.status)
            if posts.location:
                self.send_header("location", posts.location)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    posts.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield posts
    finally:
        server.shutdown()
        server.server_close()


class Mailbox:
    """The mails that came, and whom the relay refuses; `commands` are the words that clients said."""

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[bytes] = []
        self.commands: list[str] = []
        self.refuse = ""
        self.farewell = b"221 bye\r\n"
        self.encrypted = 0


def certified(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate of its own making."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sink")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1)
    )
    (folder / "cert.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@contextmanager
def smtp_sink(context: ssl.SSLContext | None = None) -> Iterator[Mailbox]:
    """A relay that takes everything; with a context it offers encryption."""
    box, listener = Mailbox(), socket.create_server(("127.0.0.1", 0))
    box.port = listener.getsockname()[1]

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_talk, args=(client, box, context), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield box
    finally:
        listener.close()


def _talk(client: socket.socket, box: Mailbox, context: ssl.SSLContext | None) -> None:
    stream = client.makefile("rb")
    client.sendall(b"220 sink\r\n")
    while line := stream.readline():
        word = line.decode().strip()
        box.commands.append(word)
        verb = word.upper().split(" ")[0]
        if verb == "EHLO":
            client.sendall(b"250-sink\r\n250-STARTTLS\r\n250 OK\r\n" if context else b"250-sink\r\n250 AUTH PLAIN\r\n")
        elif verb == "STARTTLS" and context:
            client.sendall(b"220 go\r\n")
            client, context = context.wrap_socket(client, server_side=True), None
            stream, box.encrypted = client.makefile("rb"), box.encrypted + 1
        elif verb == "RCPT" and box.refuse and box.refuse in word:
            client.sendall(b"550 no such person\r\n")
        elif verb == "DATA":
            client.sendall(b"354 go\r\n")
            lines = []
            while (part := stream.readline()) not in (b".\r\n", b""):
                lines.append(part)
            box.mails.append(b"".join(lines))
            client.sendall(b"250 taken\r\n")
        elif verb == "QUIT":
            client.sendall(box.farewell)
            client.close()
            return
        else:
            client.sendall(b"235 ok\r\n" if verb == "AUTH" else b"250 ok\r\n")
