"""Events through the client: from where it was told, and on after a connection that broke."""

import socket
from pathlib import Path

import pytest

from aerocast.client import Client, NoAnswer, RequestRefusal
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.listener import Listener
from tests.harness.server import Server


def test_events_go_on_after_the_id(client: Client, server: Server) -> None:
    with Listener(server.url) as listener:
        last = listener.last
    client.predict("noaa", "LGA")
    client.predict("noaa", "EWR")
    first, second = (next(client.events("noaa", last=last, kinds=["forecast"])) for _ in range(2))
    assert (first.kind, first.data["station"]) == ("forecast", "LGA")
    assert second == first
    assert next(client.events("noaa", last=first.id)).data["station"] == "EWR"


def test_unknown_kind_is_refused(client: Client) -> None:
    with pytest.raises(RequestRefusal) as found:
        next(client.events(kinds=["rain"]))
    assert found.value.field == "kind"


def test_server_that_starts_again_is_followed(tmp_path: Path) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = ("--port", str(probe.getsockname()[1]))
    with Server(tmp_path, port) as server, Client(server.url) as client:
        with Listener(server.url) as listener:
            last = listener.last
        client.predict("noaa", "JFK")
        events = client.events(last=last)
        assert next(events).kind == "forecast"
        server.process.kill()
        server.process.wait()
        with Server(tmp_path, port):
            assert next(events).kind == "reset", "another process does not know what came before"
            client.predict("noaa", "JFK")
            assert next(events).kind == "forecast"
        events.close()


def test_no_first_connection_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with Client(url) as client, pytest.raises(NoAnswer):
        next(client.events())
