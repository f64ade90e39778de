"""Assembles the challenger: at each horizon the candidate of least error on calibration rows.

Nothing was fitted on those rows and they do not judge, so that whom they choose is judged as fairly as any other. The
error is the composite of `aerocast.promotion.scoring`, in units of persistence's RMSE there.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from aerocast.models.candidates import Candidate
from aerocast.promotion.scoring import PERSISTENCE, composite


def choose(
    candidates: Sequence[Candidate], horizons: Sequence[int], yardsticks: Collection[str]
) -> tuple[dict[int, str], str]:
    """The kind that stands at each horizon, and a remark on those that were not compared; no `yardstick` stands there.

    Empty where there are only yardsticks. Errors compare where the calibration rows are the same: of candidates that
    were trained on other rows or for another regime, the largest group stands, or of two the one trained last.
    """
    rivals = [each for each in candidates if each.kind not in yardsticks]
    if not rivals:
        return {}, ""
    size = Counter(map(_rows, rivals))
    end = {rows: max(each.end for each in rivals if _rows(each) == rows) for rows in size}
    best = max(size, key=lambda rows: (size[rows], end[rows]))
    able = {each.kind: each.validation for each in rivals if _rows(each) == best}
    others = sorted(each.kind for each in rivals if _rows(each) != best)
    unit = next((each.validation for each in candidates if each.kind == PERSISTENCE and _rows(each) == best), {})
    note = f" {', '.join(others)} did not compete: trained on other rows than {', '.join(sorted(able))}."
    return by_errors(able, unit, horizons), note if others else ""


def by_errors(
    able: Mapping[str, Mapping[str, float]], unit: Mapping[str, float], horizons: Sequence[int]
) -> dict[int, str]:
    """The kind of least error at each horizon, of each one's errors on the same calibration rows; `unit` are
    persistence's there."""
    has_mae = all(f"calibration_mae_{horizon}" in errors for errors in able.values() for horizon in horizons)
    return {
        horizon: min(able, key=lambda kind: (_error(able[kind], unit, horizon, has_mae), kind)) for horizon in horizons
    }


def _rows(candidate: Candidate) -> tuple[str, str]:
    """What decides which rows calibrate."""
    return candidate.data_version, str(candidate.since or "")


def _error(errors: Mapping[str, float], unit: Mapping[str, float], horizon: int, has_mae: bool) -> float:
    """The composite on calibration rows; infinite where a candidate has none, as an old one may."""
    rmse = errors.get(f"calibration_rmse_{horizon}", np.inf)
    mae = errors[f"calibration_mae_{horizon}"] if has_mae else rmse
    scale = max(unit.get(f"calibration_rmse_{horizon}", 1.0), 1e-9)
    error = float(composite(rmse / scale, mae / scale))
    return error if np.isfinite(error) else np.inf
