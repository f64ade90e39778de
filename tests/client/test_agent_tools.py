"""The example of tools for agents, but for the protocol's SDK, which is not installed here."""

import importlib.util
import inspect
from types import ModuleType

import pytest

from aerocast.client import Client
from tests import PROJECT
from tests.client.conftest import HISTORY, PAST


@pytest.fixture(scope="module")
def example() -> ModuleType:
    found = importlib.util.spec_from_file_location("agent_tools", PROJECT / "examples/agent_tools/tools.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_each_tool_says_what_it_answers(example: ModuleType, client: Client) -> None:
    tools = example.Tools(client).all()
    assert [tool.__name__ for tool in tools] == ["feeds", "forecast", "history", "why"]
    assert all(inspect.getdoc(tool) for tool in tools)


def test_tools_answer_rows(example: ModuleType, client: Client) -> None:
    feeds, forecast, history, why = example.Tools(client).all()
    feed, station = feeds()[0]["feed"], feeds()[0]["station"]
    assert [row["horizon"] for row in forecast(feed, station)] == [1, 6, 24]
    assert {row["horizon"] for row in why(feed, station)} == {1, 6, 24}
    rows = history(feed, "JFK")
    assert len(rows) == example.MOST_ROWS < HISTORY
    assert rows[-1]["time"] == client.history(feed, "JFK")["time"][-1].as_py()
    assert [row["time"] for row in history(feed, "JFK", PAST.isoformat())][-1] == rows[-1]["time"]


def test_refusal_is_told_with_its_rule(example: ModuleType, client: Client) -> None:
    forecast = example.with_reason(example.Tools(client).forecast, ValueError)
    assert inspect.signature(forecast) == inspect.signature(example.Tools(client).forecast)
    with pytest.raises(ValueError, match=r"no station.*'rule'|unknown-station"):
        forecast("noaa", "XXX")
