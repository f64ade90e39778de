"""What all feeds share: resources, the executor, the run log that people read, automation and housekeeping."""

import os
from collections.abc import Sequence

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast.storage.home import WORK
from aerocast_assets.automation.alarming import alarming
from aerocast_assets.automation.announcing import announcing
from aerocast_assets.automation.claiming import claiming
from aerocast_assets.automation.declaring import declaring
from aerocast_assets.automation.flow import forward_flow
from aerocast_assets.automation.upkeep import upkeep
from aerocast_assets.liveness import in_process_executor
from aerocast_assets.progress import progress_logger
from aerocast_assets.resources import Platform
from aerocast_assets.tree import feeds_below

HOME = "AEROCAST_HOME"


@dg.definitions
def platform(context: dg.ComponentLoadContext) -> dg.Definitions:
    return shared(feeds_below(context.component_tree))


def shared(feeds: Sequence[Feed]) -> dg.Definitions:
    """What these feeds share."""
    # The page of the resource names the variable, which must then be set: to what an unset one means.
    os.environ.setdefault(HOME, str(WORK))
    common = dg.Definitions(
        resources={"platform": Platform(home=dg.EnvVar(HOME))},
        executor=in_process_executor,
        loggers={"console": dg.colored_console_logger, "progress": progress_logger},
        sensors=[forward_flow(feeds)],
    )
    return dg.Definitions.merge(common, upkeep(), claiming(), announcing(), declaring(), alarming(feeds))
