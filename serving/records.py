"""An answer as the prediction log keeps it."""

from __future__ import annotations

from aerocast.contracts.predictions import Logged, LoggedForecast
from serving.schemas import Prediction


def logged(prediction: Prediction, graph: str, shadow: bool) -> Logged:
    """The record of an answer that was sent, or of a challenger's beside it (`shadow`)."""
    return Logged(
        id=prediction.id,
        feed=prediction.feed,
        target=prediction.target,
        station=prediction.station,
        issued_at=prediction.issued_at,
        origin=prediction.origin,
        version=prediction.model.version,
        kind=prediction.model.kind,
        graph=graph,
        shadow=shadow,
        degraded=prediction.degraded,
        reasons=tuple(reason.code for reason in prediction.reasons),
        level=prediction.level,
        forecasts=tuple(
            LoggedForecast(one.horizon, one.time, one.value, one.lower, one.upper) for one in prediction.forecasts
        ),
    )
