"""A sensor of a feed that is ticked without a daemon; the runs it requests are executed in this process."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG, SENSOR_NAME_TAG

from aerocast.contracts.drift_state import Heat, Shadow
from aerocast.feed.declaration import Feed
from aerocast_assets.resources import Platform
from tests.factories.drift import set_clock, write_heat
from tests.harness.graph import definitions


@dataclass
class Loop:
    """A sensor of a feed with its cursor; `runs` are the executed runs that its ticks requested."""

    feed: Feed
    home: Path
    instance: dg.DagsterInstance
    cursor: str | None = None
    sensor: str = "retrain"
    runs: list[dg.ExecuteInProcessResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.defs = definitions(self.home, self.feed)
        self.repository = self.defs.get_repository_def()
        self.platform = {"platform": Platform(home=str(self.home))}
        self.name = f"{self.feed.name}_{self.sensor}"

    def at(self, now: datetime) -> "Loop":
        set_clock(self.home, self.feed, now)
        return self

    def heat(self, *heats: Heat, shadows: tuple[Shadow, ...] = ()) -> "Loop":
        write_heat(self.home, self.feed, *heats, shadows=shadows)
        return self

    def look(self) -> Any:
        """Evaluate the sensor once and store its cursor, without starting a run."""
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=self.repository,
            sensor_name=self.name,
            resources=self.platform,
        ) as context:
            data = self.defs.resolve_sensor_def(self.name).evaluate_tick(context)
        self.cursor = data.cursor
        assert data.run_requests or data.skip_message, "every tick says something"
        return data

    def tick(self) -> list[dg.ExecuteInProcessResult]:
        """Evaluate the sensor once and execute its requests as the daemon does: a known run key starts nothing."""
        made = [self.execute(request) for request in self.look().run_requests]
        started = [each for each in made if each]
        self.runs += started
        return started

    def said(self) -> str:
        """The reason of a tick that requests no run."""
        data = self.look()
        assert not data.run_requests, data.run_requests
        return str(data.skip_message)

    def due(self, target: str = "temperature") -> Any:
        """The result of the routine schedule of the target."""
        with dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=datetime.now(UTC),
            repository_def=self.repository,
            resources=self.platform,
        ) as context:
            return self.defs.resolve_schedule_def(f"{self.feed.name}_{target}_routine").evaluate_tick(context)

    def execute(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult | None:
        tags = {**request.tags, SENSOR_NAME_TAG: self.name}
        if request.run_key:
            tags[RUN_KEY_TAG] = request.run_key
            known = {name: tags[name] for name in (SENSOR_NAME_TAG, RUN_KEY_TAG)}
            if self.instance.get_run_records(dg.RunsFilter(tags=known)):
                return None
        assert request.job_name
        return self.defs.resolve_job_def(request.job_name).execute_in_process(
            instance=self.instance,
            run_config=request.run_config,
            tags=tags,
            asset_selection=list(request.asset_selection) if request.asset_selection else None,
            raise_on_error=False,
        )


@dataclass
class LiveLoop(Loop):
    """The live sensor of a feed."""

    sensor: str = "live"

    def asks(self) -> dg.RunRequest:
        (request,) = self.look().run_requests
        assert isinstance(request, dg.RunRequest)
        return request

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        result = self.execute(request)
        assert result is not None
        return result
