"""What `up` says of the platform: how each feed stands, and which runs have failed."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from aerocast.releases import release
from aerocast.storage.home import Home
from aerocast_assets.automation.switch import switch
from aerocast_assets.feeds import feeds
from cli.failures import EVENTS, failures

LOOK = 5.0  # seconds


def feed_lines(home: Home) -> Iterator[str]:
    """One line a feed: whether it runs by itself, and what serves."""
    every = feeds()
    width = max((len(feed.name) for feed in every), default=0)
    for feed in every:
        pointers = {target: release.current(home, feed.name, target) for target in feed.targets}
        serving = ", ".join(f"{target} by {pointer.version}" for target, pointer in pointers.items() if pointer)
        hint = switch(feed)
        state = f"off until {hint} is set" if hint else "runs by itself"
        yield f"{feed.name:<{width}}  {state}; {f'serving {serving}' if serving else 'nothing serves yet'}"


class Failures:
    """The runs that failed since it was made, each once."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._since = datetime.now(UTC)
        self._looked = 0.0
        self._run_ids: set[str] = set()

    def new(self) -> Iterator[str]:
        """A line a run, with the step and the reason; looks at most every few seconds."""
        if time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=self._since)
        for run in reversed(self._instance.get_runs(filters)):
            if run.run_id not in self._run_ids:
                self._run_ids.add(run.run_id)
                logs = self._instance.all_logs(run.run_id, of_type={*EVENTS})
                reasons = "; ".join(map(str, failures(each.dagster_event for each in logs if each.dagster_event)))
                at = f"{datetime.now(UTC):%H:%M:%S}"
                yield f"{at} run {run.run_id[:8]} of {run.job_name} failed: {reasons or 'see its page in the UI'}"
