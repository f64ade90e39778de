"""Tools for an agent, over the Model Context Protocol: what is served, what comes, what was said before, and why.

They only read: nothing is posted, and a token of scope `read` is enough. The protocol's SDK is none of AeroCast's
packages (docs/decisions/067): `pip install ".[client]" "mcp>=2.3"` in an environment of the agent's, then let the agent
start `python examples/agent_tools/tools.py --url http://127.0.0.1:8000`. The token is `AEROCAST_TOKEN`.
"""

import argparse
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from aerocast.client import Client, ClientError

MOST_ROWS = 200  # of history; an agent reads every word
Rows = list[dict[str, Any]]


class Tools:
    """Each method is a tool; its docstring is what the agent reads of it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def feeds(self) -> Rows:
        """The feeds and stations that are served, with their targets, columns and newest readings."""
        return self._client.feeds().to_pylist()

    def forecast(self, feed: str, station: str, target: str | None = None) -> Rows:
        """The newest forecast of a station: a row a horizon, with the interval that holds the outcome with the
        probability `level`, the quantiles, and whether the inputs were degraded. Without a target: the feed's first.
        """
        return self._client.predict(feed, station, target).to_pylist()

    def history(
        self, feed: str, station: str, start: str | None = None, end: str | None = None, target: str | None = None
    ) -> Rows:
        """Past forecasts beside what was measured and beside two baselines, oldest first, by target time from `start`
        up to `end` (ISO 8601 with an offset). Of more than 200 rows the newest.
        """
        rows = self._client.history(feed, station, start, end, target=target)
        return rows.slice(max(0, len(rows) - MOST_ROWS)).to_pylist()

    def why(self, feed: str, station: str, target: str | None = None) -> Rows:
        """What the newest forecast comes from: at each horizon `base`, the mean forecast, and by how much each group of
        inputs moves it. It says what the model does, not what causes the weather or the load.
        """
        return self._client.explain(feed, station, target).to_pylist()

    def all(self) -> list[Any]:
        return [self.feeds, self.forecast, self.history, self.why]


def with_reason(tool: Callable[..., Rows], error_kind: type[Exception]) -> Callable[..., Rows]:
    """The tool, whose refusals are told to the agent as the server's sentence, with field, value and rule."""

    @wraps(tool)
    def call(*values: Any, **named: Any) -> Rows:
        try:
            return tool(*values, **named)
        except ClientError as error:
            raise error_kind(f"{error} {getattr(error, 'document', '')}".strip()) from error

    return call


def main() -> None:
    from mcp.server import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.types import ToolAnnotations

    parser = argparse.ArgumentParser(description="Serve the tools on standard input and output.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server (default: %(default)s)")
    options = parser.parse_args()
    with Client(options.url, os.environ.get("AEROCAST_TOKEN", "")) as client:
        server = MCPServer("aerocast")
        for tool in Tools(client).all():
            server.tool(annotations=ToolAnnotations(read_only_hint=True))(with_reason(tool, ToolError))
        server.run()


if __name__ == "__main__":
    main()
