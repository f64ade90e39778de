"""The newest diagnosis of a feed: drift by target and station, sensor faults, and the heat of each target.

`<home>/drift/<feed>.json` is a copy for fast or light readers (the server, sensors), replaced atomically by
the evaluation asset; the history is the table `<feed>/drift`.
The server imports this module: msgspec and the standard library only.
"""

from pathlib import Path
from typing import Literal

import msgspec

from aerocast.contracts.adaptation import Adaptation
from aerocast.storage.documents import Document, Instant
from aerocast.storage.home import Home, store_of

Verdict = Literal["ok", "sensor_fault", "covariate_shift", "concept_drift"]


class Evidence(msgspec.Struct, frozen=True):
    """One test: its statistic and threshold; `fired` if it is evidence of a change. `detail` is a sentence."""

    test: str
    subject: str
    value: float | None
    threshold: float | None
    fired: bool
    detail: str


class Fault(msgspec.Struct, frozen=True):
    """A faulty sensor: readings of `column` from `start` up to, not including, `end` (None: still)."""

    station: str
    column: str
    kind: str
    start: Instant
    end: Instant | None
    detail: str


class Diagnosis(msgspec.Struct, frozen=True):
    """One (target, station) at `judged_at`, in the feed's time. `onset` is where the change probably began.

    `rmse` is that of the newest outcomes at the first horizon, in the target's unit; `expected_rmse` what the same
    season and weather allow; both None without outcomes.
    """

    target: str
    station: str
    verdict: Verdict
    judged_at: Instant
    onset: Instant | None
    rmse: float | None
    expected_rmse: float | None
    coverage: float | None
    outcomes: int
    evidence: tuple[Evidence, ...] = ()


class Heat(msgspec.Struct, frozen=True):
    """The state of one target: hot while concept drift lasts. `edges` counts all changes from cool to hot.

    `warm` and `calm` count examinations in a row for and against drift; `since` is when it last changed sides, `onset`
    where the drift that made it hot began (it stays when cool again: the start of the present regime). `judged_at` is
    the newest examination that counted, `rmse` its error, `spoke` whether it was for drift.
    """

    target: str
    hot: bool = False
    edges: int = 0
    warm: int = 0
    calm: int = 0
    since: Instant | None = None
    onset: Instant | None = None
    rmse: float | None = None
    version: str | None = None
    judged_at: Instant | None = None
    spoke: bool = True


class Shadow(msgspec.Struct, frozen=True):
    """Live evidence on a challenger beside the champion: the same requests, both judged by their outcomes.

    `as_judged`: the challenger is what the trial of the champion's own release judged.
    """

    target: str
    challenger: str
    champion: str
    pairs: int
    gain: float
    p_value: float | None
    as_judged: bool = False


class DriftState(msgspec.Struct, frozen=True):
    """Everything at `judged_at` (the feed's time); `written_at` is real time. `adaptations` by target and station."""

    feed: str
    judged_at: Instant
    written_at: Instant
    diagnoses: tuple[Diagnosis, ...] = ()
    faults: tuple[Fault, ...] = ()
    heat: tuple[Heat, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    adaptations: dict[str, dict[str, Adaptation]] = {}

    def of(self, target: str) -> Heat:
        """The target's heat; a cool one if it is unknown."""
        return next((heat for heat in self.heat if heat.target == target), Heat(target))

    def adaptation(self, target: str, station: str | None, version: str, horizons: int) -> Adaptation | None:
        """How intervals of this release for a station have adapted to its outcomes; None if they have not."""
        own = self.adaptations.get(target, {}).get(station or "")
        return own if own and own.version == version and len(own.factor) == horizons else None

    def open_faults(self, station: str) -> list[Fault]:
        """The station's sensors that are faulty now."""
        return [fault for fault in self.faults if fault.station == station and fault.end is None]


def document(home: Home, feed: str) -> Document[DriftState]:
    """The newest state; it does not exist before the first examination."""
    return Document(store_of(Path(home)), f"drift/{feed}.json", DriftState, "drift state", indent=1)
