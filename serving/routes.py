"""Which endpoint is answered at which path: the API below /v1, and as clients from before the versions know it."""

from litestar import Router
from litestar.handlers import HTTPRouteHandler

from serving import anomalies, controllers, events, forecasts, recent, standing

VERSION = "/v1"
OLDER: list[HTTPRouteHandler] = [
    controllers.feeds,
    controllers.models,
    controllers.picture,
    forecasts.predict,
    forecasts.explain,
    controllers.observe,
    controllers.evaluate,
    controllers.retrain_check,
    controllers.ask_for_retrain,
]
NEWER: list[HTTPRouteHandler] = [
    forecasts.newest,
    forecasts.predict_batch,
    forecasts.forecast_series,
    forecasts.series_models,
    controllers.past_forecasts,
    anomalies.anomalies,
    events.events,
    recent.newest_readings,
    standing.loop_state,
    standing.quarantine,
]
ENDPOINTS: list[HTTPRouteHandler | Router] = [
    controllers.index,
    controllers.docs,
    controllers.health,
    controllers.metrics,
    Router(VERSION, route_handlers=[*OLDER, *NEWER]),
    Router(VERSION, route_handlers=[controllers.health], include_in_schema=False),
    Router("/", route_handlers=OLDER, include_in_schema=False),
]


def older_paths() -> list[str]:
    """The paths at which endpoints of the first version are answered, too."""
    return sorted({path.replace(":str", "") for handler in OLDER for path in handler.paths})
