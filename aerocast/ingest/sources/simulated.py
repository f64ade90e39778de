"""A simulated station: calm days, then a heatwave. `_simulated_series` computes what it measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from aerocast.feed.schema import Duration
from aerocast.feed.source_kind import SourceKind, Watch

if TYPE_CHECKING:
    from aerocast.feed.model import Feed
    from aerocast.tables.raw import Delivery


class SimulatedSource(SourceKind):
    """A made station with one column: a daily cycle around a calm level, then a heatwave. Seeded.

    Every reading is a function of the seed and its instant alone, so any span can be asked for again. `CALM_ONLY=1` in
    the environment leaves the heatwave out. Quantities are in the column's source unit.
    """

    kind: Literal["simulated"]
    seed: int = 7
    level: float = Field(default=25.0, description="mean of the calm")
    swing: Annotated[float, Field(ge=0)] = Field(default=3.2, description="amplitude of the calm's daily cycle")
    weather: Annotated[float, Field(ge=0)] = Field(
        default=1.2, description="furthest that slow weather moves the level"
    )
    noise: Annotated[float, Field(ge=0)] = Field(default=0.2, description="standard deviation of a single reading")
    onset: AwareDatetime = Field(description="when the heatwave begins")
    ramp: Duration = Field(default=timedelta(days=1), description="how long it takes to reach its height")
    rise: float = Field(default=12.0, description="how far the heatwave lifts the level")
    hot_swing: Annotated[float, Field(ge=0)] = Field(default=9.0, description="amplitude of the heatwave's daily cycle")
    hot_weather: Annotated[float, Field(ge=0)] = Field(default=4.0, description="as `weather`, in the heatwave")
    hot_noise: Annotated[float, Field(ge=0)] = Field(default=0.4, description="as `noise`, in the heatwave")

    watch: ClassVar[Watch] = "live"

    @property
    def label(self) -> str:
        return f"simulated (seed {self.seed})"

    @property
    def change(self) -> datetime:
        return self.onset

    def read(
        self,
        feed: Feed,
        months: Sequence[str] | None = None,
        now: datetime | None = None,
        after: Mapping[str, datetime] | None = None,
        *,
        work: Path | None = None,
        notes: list[str] | None = None,
    ) -> Iterator[Delivery]:
        """Of each month what was measured later than `after` and not later than `now`."""
        from aerocast.ingest.sources import _simulated_series

        return _simulated_series.read(self, feed, months, now, after)

    def fingerprint(self, feed: Feed, now: datetime | None = None) -> str:
        """Another one with each reading."""
        from aerocast.ingest.sources import _simulated_series

        return _simulated_series.fingerprint(self, feed, now)
