"""A weather service over HTTP with scripted answers."""

import json
from collections.abc import Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """A scripted answer; a callable body is called when it is sent."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = {}


class Service:
    """A weather service on a free port; `script` has the answers of each path in order, the last one repeats."""

    def __init__(self) -> None:
        self.script: dict[str, list[Reply]] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked.append((self.path, dict(self.headers)))
                lines = service.script.get(self.path) or service.script.get(self.path.partition("?")[0])
                reply = (lines.pop(0) if len(lines) > 1 else lines[0]) if lines else Reply(status=404)
                said = reply.body() if callable(reply.body) else reply.body
                body = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(reply.status)
                for name, value in ({"Content-Length": str(len(body))} | dict(reply.headers)).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


def observation(time: datetime | str, station: str = "KMSP", **values: Any) -> dict[str, Any]:
    """A feature as the service sends it; a temperature may be a plain number."""
    text = time if isinstance(time, str) else time.isoformat()
    measured = {"unitCode": "wmoUnit:degC", "value": values.pop("temperature", 1.5), "qualityControl": "V"}
    return {
        "type": "Feature",
        "properties": {"stationId": station, "timestamp": text, "temperature": measured, **values},
    }


def collection(*features: dict[str, Any], following: str | None = None) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)} | (
        {"pagination": {"next": following}} if following else {}
    )
