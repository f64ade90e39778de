"""The sensor that tells the home what is declared: a feed without a folder is retired, one that is back lives again."""

from collections.abc import Callable, Sequence

import dagster as dg

from aerocast.common.errors import AeroCastError
from aerocast.storage.home import Home
from aerocast_assets.feeds import Declaration, declarations
from aerocast_assets.labels import OWNERS
from aerocast_assets.resources import Platform

LOOK = 60  # seconds


def settle_declarations(home: Home, find: Callable[[], Sequence[Declaration]] = declarations) -> list[str]:
    """A sentence for each feed of the home that is retired, or published again, by this. A broken one stays as it was.

    Raises:
        AeroCastError: the home refuses.
    """
    from aerocast.operations.retirement import reconcile

    every = find()
    return reconcile(home, [each.feed for each in every if each.feed], [each.name for each in every])


def declaring(find: Callable[[], Sequence[Declaration]] = declarations) -> dg.Definitions:
    """The sensor; it starts no runs."""

    @dg.sensor(
        name="declarations",
        minimum_interval_seconds=LOOK,
        default_status=dg.DefaultSensorStatus.RUNNING,
        owners=OWNERS,
        description="Retires feeds that are no longer declared: the server refuses them, and their files stay.",
    )
    def sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SkipReason:
        try:
            changes = settle_declarations(platform.root, find)
        except (AeroCastError, OSError) as error:
            return dg.SkipReason(str(error))
        return dg.SkipReason("; ".join(changes) or "what is declared has not changed")

    return dg.Definitions(sensors=[sensor])
