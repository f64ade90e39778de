"""What the loop decided and says now, for light readers: copies of the newest rows of tables and of the sensor's words.

`decisions/<feed>/<target>.json` are the newest rows of `promotions`, `retraining/<feed>.json` what the retrain sensor
said last, `quarantine/<feed>.json` what went to quarantine lately. Each is replaced atomically by what makes it.
The server imports this module: msgspec and the standard library only.
"""

from pathlib import Path
from typing import Literal

import msgspec

from aerocast.storage.documents import Document, Instant
from aerocast.storage.home import Home, store_of

MOST_DECISIONS = 30


class PastDecision(msgspec.Struct, frozen=True):
    """One decision on what serves a target, with its proof; figures of a trial are None where there was none.

    `version` serves afterwards, `challenger` was judged, `incumbent` served before. `composite` is the judged model's
    loss relative to the baselines', `gain` the share of the incumbent's loss that it saves on the same rows, `p_value`
    the chance that luck did it.
    """

    decided_at: Instant
    verdict: str
    reason: str
    promoted: bool = False
    winner: str | None = None
    version: str | None = None
    challenger: str | None = None
    incumbent: str | None = None
    retrain_reason: str | None = None
    feed_time: Instant | None = None
    composite: float | None = None
    skill: float | None = None
    incumbent_composite: float | None = None
    gain: float | None = None
    p_value: float | None = None
    test_rows: int | None = None
    test_start: Instant | None = None
    test_end: Instant | None = None
    hold: str | None = None
    run_id: str | None = None


class DecisionNotes(msgspec.Struct, frozen=True):
    """The newest decisions of a target, newest first."""

    feed: str
    target: str
    decisions: tuple[PastDecision, ...] = ()


class RetrainRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest retrain run of a target, in the feed's time; `obstacle` is why none starts although drift asks."""

    run_id: str = ""
    reason: str = ""
    outcome: Literal["running", "promoted", "refused", "failed"] | None = None
    started: Instant | None = None
    ended: Instant | None = None
    obstacle: str = ""


class RetrainNotes(msgspec.Struct, frozen=True):
    """Why the last look of the retrain sensor led to a run of each target, or to none; `at` is the feed's time.

    `runs` are the newest by target.
    """

    feed: str
    at: Instant
    reasons: dict[str, str] = {}
    runs: dict[str, RetrainRun] = {}


class Refusal(msgspec.Struct, frozen=True):
    """How many readings (`column` is None) or values of a station broke a rule."""

    station: str | None
    column: str | None
    rule: str
    count: int
    newest: Instant | None = None


class Refused(msgspec.Struct, frozen=True):
    """One reading or value that broke a rule, with a sentence that says why."""

    station: str | None
    time: Instant | None
    column: str | None
    value: str | None
    rule: str
    reason: str


class QuarantineNotes(msgspec.Struct, frozen=True):
    """What went to quarantine in the newest `months` that have any, as of `at` (the feed's time); `newest` first."""

    feed: str
    at: Instant
    months: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    newest: tuple[Refused, ...] = ()


def decisions(home: Home, feed: str, target: str) -> Document[DecisionNotes]:
    """The target's newest decisions; it does not exist before the first."""
    return Document(store_of(Path(home)), f"decisions/{feed}/{target}.json", DecisionNotes, "decisions", indent=1)


def retraining(home: Home, feed: str) -> Document[RetrainNotes]:
    """What the sensor said last; it does not exist before its first look."""
    return Document(store_of(Path(home)), f"retraining/{feed}.json", RetrainNotes, "retrain notes", indent=1)


def quarantine(home: Home, feed: str) -> Document[QuarantineNotes]:
    """What was refused lately; it does not exist before the first."""
    return Document(store_of(Path(home)), f"quarantine/{feed}.json", QuarantineNotes, "quarantine notes", indent=1)
