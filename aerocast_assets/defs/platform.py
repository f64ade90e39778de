"""What all feeds share: resources, the executor, the run log that people read, automation and housekeeping."""

import os

import dagster as dg

from aerocast.storage.home import WORK
from aerocast_assets.automation.announcing import announcing
from aerocast_assets.automation.claiming import claiming
from aerocast_assets.automation.declaring import declaring
from aerocast_assets.automation.flow import forward_flow
from aerocast_assets.automation.upkeep import upkeep
from aerocast_assets.feeds import feeds
from aerocast_assets.liveness import in_process_executor
from aerocast_assets.progress import progress_logger
from aerocast_assets.resources import Platform

HOME = "AEROCAST_HOME"


@dg.definitions
def platform() -> dg.Definitions:
    # The page of the resource names the variable, which must then be set: to what an unset one means.
    os.environ.setdefault(HOME, str(WORK))
    shared = dg.Definitions(
        resources={"platform": Platform(home=dg.EnvVar(HOME))},
        executor=in_process_executor,
        loggers={"console": dg.colored_console_logger, "progress": progress_logger},
        sensors=[forward_flow(feeds())],
    )
    return dg.Definitions.merge(shared, upkeep(), claiming(), announcing(), declaring())
