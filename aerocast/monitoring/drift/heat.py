"""From diagnoses to heat: hysteresis between an examination's verdict and the retrain sensor.

A target is hot while concept drift lasts at any station; only the edge cool -> hot counts. One examination is too
little to turn either way, and an examination of nothing new is none.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from aerocast.contracts.drift_state import Diagnosis, Heat
from aerocast.feed.policies import Drift

# An examination speaks for calm only if some station's errors were judged: two days of silence are no recovery.
CONCLUSIVE = 12


def advance(
    heat: Heat,
    diagnoses: Sequence[Diagnosis],
    limits: Drift,
    now: datetime,
    version: str | None,
    rmse: float | None,
) -> Heat:
    """The target's heat after one more examination at `now`, the feed's time; the same heat if `now` is not newer.

    `diagnoses` of other targets are ignored. `version` is the release that serves, `rmse` the target's over all
    stations. A new release starts new streaks, but what is hot stays hot until `cool_after` calm examinations.
    """
    if heat.judged_at is not None and now <= heat.judged_at:
        return heat
    own = [diagnosis for diagnosis in diagnoses if diagnosis.target == heat.target]
    is_new_release = heat.version is not None and version != heat.version
    warm, calm = (0, 0) if is_new_release else (heat.warm, heat.calm)
    drifts = [diagnosis for diagnosis in own if diagnosis.verdict == "concept_drift"]
    if drifts:
        warm, calm = warm + 1, 0
    elif any(d.verdict in ("ok", "covariate_shift") and d.outcomes >= CONCLUSIVE for d in own):
        warm, calm = 0, calm + 1
    spoke = bool(drifts)
    after = msgspec.structs.replace(heat, warm=warm, calm=calm, rmse=rmse, version=version, judged_at=now, spoke=spoke)
    if not heat.hot and warm >= limits.hot_after:
        began = min((d.onset for d in drifts if d.onset is not None), default=now)
        return msgspec.structs.replace(after, hot=True, edges=heat.edges + 1, since=now, onset=began)
    if heat.hot and calm >= limits.cool_after:
        return msgspec.structs.replace(after, hot=False, since=now)
    return after
