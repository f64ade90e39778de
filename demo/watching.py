"""What a demonstration sees: durable facts only, as anybody could read them beside the running processes."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from aerocast.contracts import clock
from aerocast.contracts import drift_state as state
from aerocast.contracts.drift_state import Diagnosis, DriftState, Heat
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.promotion import table
from aerocast.releases import release
from aerocast_assets.assets.champion import RETRAIN_TAG
from aerocast_assets.keys import RETRAIN_OF

TIMEOUT = 2.0


@dataclass(frozen=True)
class Retrain:
    """One retrain run of Dagster's: why it was started, and how it stands."""

    run_id: str
    reason: str
    status: str

    @property
    def is_first_aid(self) -> bool:
        """Whether it reweighted what serves, and trained nothing."""
        return self.reason.startswith("first aid")


@dataclass(frozen=True)
class LoopFacts:
    """Everything at one moment. `now` is the feed's; `promotion` the newest row of the table of promotions."""

    now: datetime
    drift: DriftState | None
    diagnosis: Diagnosis | None
    heat: Heat
    retrains: tuple[Retrain, ...]
    released: str | None
    promotion: Mapping[str, Any] | None
    served: str | None
    metrics: Mapping[str, float]


class Watch:
    """Looks at one target of a feed; tables are read again only when a release has changed."""

    def __init__(self, home: Path, feed: Feed, target: str, url: str, instance: dg.DagsterInstance) -> None:
        self._home, self._feed, self._target, self._url, self._instance = home, feed, target, url, instance
        self._promotion: tuple[object, Mapping[str, Any] | None] = (None, None)

    def look(self) -> LoopFacts:
        """Raises AeroCastError when a clock, a state or a table cannot be read."""
        feed, target = self._feed, self._target
        drift = state.document(self._home, feed.name).read()
        own = [each for each in drift.diagnoses if each.target == target] if drift else []
        pointer = release.current(self._home, feed.name, target)
        runs = self._retrains()
        return LoopFacts(
            now=clock.now(self._home, feed.name, feed.end),
            drift=drift,
            diagnosis=own[0] if own else None,
            heat=drift.of(target) if drift else Heat(target),
            retrains=runs,
            released=pointer.version if pointer else None,
            promotion=self._decision(pointer.version if pointer else None, [(run.run_id, run.status) for run in runs]),
            served=self._served(),
            metrics=self._metrics(),
        )

    def _retrains(self) -> tuple[Retrain, ...]:
        """Oldest first."""
        runs = self._instance.get_runs(dg.RunsFilter(tags={RETRAIN_OF: f"{self._feed.name}/{self._target}"}))
        return tuple(Retrain(r.run_id, r.tags.get(RETRAIN_TAG, ""), r.status.value) for r in reversed(runs))

    def _decision(self, released: str | None, runs: object) -> Mapping[str, Any] | None:
        basis, decision = self._promotion
        # The row is written beside the pointer, not with it: it may be a moment late.
        if basis != (released, runs) or (decision and decision["version"] != released):
            self._promotion = ((released, runs), table.newest(Lake(self._home), self._feed.name, self._target))
        return self._promotion[1]

    def _served(self) -> str | None:
        """The version with which the server answers now; None while it cannot be asked."""
        releases = json.loads(self._get("/health") or "{}").get("releases", [])
        own = [each for each in releases if (each["feed"], each["target"]) == (self._feed.name, self._target)]
        return own[0]["version"] if own else None

    def _metrics(self) -> Mapping[str, float]:
        """The feed's gauges and counters, by name."""
        pattern = rf'^(\w+)\{{[^}}]*feed="{self._feed.name}"[^}}]*\}} (\S+)$'
        return {name: float(value) for name, value in re.findall(pattern, self._get("/metrics") or "", re.MULTILINE)}

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(self._url + path, timeout=TIMEOUT) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            return str(error.read().decode())  # /health speaks under 503, too
        except OSError:
            return None
