"""A simulated station: calm days, then a heatwave. `_simulated_series` computes what it measures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import AwareDatetime, Field

from aerocast.feed.field_types import Duration
from aerocast.feed.source_kind import ReadRequest, SourceKind, Watch

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
    from aerocast.tables.raw import Delivery


class SimulatedSource(SourceKind):
    """A simulated station with one column: a daily cycle around a calm level, then a heatwave.

    Every reading is a function of the seed and its instant alone, so any span can be asked for again. `CALM_ONLY=1` in
    the environment leaves the heatwave out. Quantities are in the column's source unit.
    """

    kind: Literal["simulated"] = Field(description="Name of the source kind")
    seed: int = Field(default=7, description="Seed of the random numbers")
    level: float = Field(default=25.0, description="Mean before the heatwave")
    swing: float = Field(default=3.2, ge=0, description="Amplitude of the daily cycle before the heatwave")
    weather: float = Field(default=1.2, ge=0, description="Largest shift of the level by slow weather")
    noise: float = Field(default=0.2, ge=0, description="Standard deviation of a single reading")
    onset: AwareDatetime = Field(description="Start of the heatwave", examples=["2024-04-10T00:00:00Z"])
    ramp: Duration = Field(default=timedelta(days=1), description="Time from its start to its full height")
    rise: float = Field(default=12.0, description="Rise of the level in the heatwave")
    hot_swing: float = Field(default=9.0, ge=0, description="As `swing`, in the heatwave")
    hot_weather: float = Field(default=4.0, ge=0, description="As `weather`, in the heatwave")
    hot_noise: float = Field(default=0.4, ge=0, description="As `noise`, in the heatwave")

    watch: ClassVar[Watch] = "live"

    @property
    def label(self) -> str:
        return f"simulated (seed {self.seed})"

    @property
    def change(self) -> datetime:
        return self.onset

    def read(self, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
        """Of each month what was measured later than `after` and not later than `now`."""
        from aerocast.ingest.sources import _simulated_series

        return _simulated_series.read_series(self, feed, request)

    def fingerprint(self, feed: Feed, now: datetime | None = None) -> str:
        """Another one with each reading."""
        from aerocast.ingest.sources import _simulated_series

        return _simulated_series.fingerprint(self, feed, now)
