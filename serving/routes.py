"""Which endpoint is answered at which path, and which scope it needs: the one place that says what writes.

The API lies below /v1, and as clients from before the versions know it.
"""

from typing import Literal

from litestar import Router
from litestar.handlers import HTTPRouteHandler

from aerocast.contracts.tokens import Scope
from serving import anomalies, controllers, events, forecasts, recent, standing
from serving.access import SCOPE
from serving.audit import audited
from serving.openapi import TOKEN
from serving.refusals import DENIED

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
    standing.alarms,
]
STATE: list[HTTPRouteHandler] = [controllers.index, controllers.docs, controllers.health, controllers.metrics]
# Each GET reads unless it is named here. A retrain costs hours of the machine, and may change what serves.
SCOPES: dict[HTTPRouteHandler, Scope | Literal["open"]] = {
    controllers.health: "open",
    forecasts.predict: "read",
    forecasts.explain: "read",
    forecasts.predict_batch: "read",
    forecasts.forecast_series: "read",
    controllers.observe: "write",
    controllers.evaluate: "write",
    controllers.ask_for_retrain: "admin",
}
for handler in (*STATE, *OLDER, *NEWER):
    scope = SCOPES[handler] if "POST" in handler.http_methods else SCOPES.get(handler, "read")
    handler.opt[SCOPE] = scope
    if scope != "open":
        handler.security = [{TOKEN: [scope]}]
        handler.middleware = [*(handler.middleware or ()), *([] if scope == "read" else [audited])]
        handler.responses = DENIED | dict(handler.responses or {})

ENDPOINTS: list[HTTPRouteHandler | Router] = [
    *STATE,
    Router(VERSION, route_handlers=[*OLDER, *NEWER]),
    Router(VERSION, route_handlers=[controllers.health], include_in_schema=False),
    Router("/", route_handlers=OLDER, include_in_schema=False),
]


def older_paths() -> list[str]:
    """The paths at which endpoints of the first version are answered, too."""
    return sorted({path.replace(":str", "") for handler in OLDER for path in handler.paths})
