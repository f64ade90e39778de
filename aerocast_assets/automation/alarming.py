"""The platform's judge: a sensor that notes which conditions hold, tells people, and misses the server."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.storage.home import Home
from aerocast_assets.automation import conditions as facts
from aerocast_assets.automation.switch import switch
from aerocast_assets.labels import OWNERS
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.alerts.settings import AlertSettings
    from aerocast.contracts.alarms import AlarmState
    from aerocast.storage.settings import Settings

LOOK = 30  # seconds
WAIT = 5.0  # seconds that a tick waits for what is sent


class PlatformJudge:
    """Of one home, in this process, since its first look."""

    def __init__(self, home: Home, settings: "AlertSettings", common: "Settings") -> None:
        """Raises AeroCastError: a setting cannot be used."""
        from aerocast.alerts.dispatcher import Dispatcher
        from aerocast.alerts.settings import channels, url_of

        self.home, self._patience = home, settings.patience
        ways, kinds, url = channels(settings), settings.kind_names, url_of(common)
        self._dispatcher = Dispatcher(home, "platform", ways, kinds, url)
        self._began, self._tails = datetime.now(UTC), facts.Tails()

    def look(
        self, instance: dg.DagsterInstance, feeds: Sequence[Feed], checks: Sequence[dg.AssetCheckKey] | None
    ) -> "AlarmState":
        """Raises AeroCastError: the home cannot be read, or takes no heartbeat."""
        from aerocast.alerts import conditions
        from aerocast.contracts import alarms

        now, root = datetime.now(UTC), self.home
        on = [feed for feed in feeds if not switch(feed)]
        off = {feed.name for feed in feeds} - {feed.name for feed in on}
        self._dispatcher.beat(now)
        server = alarms.heartbeat(root, "server").read()
        judgement = conditions.together(
            [
                *(facts.of_feed(root, feed, self._tails) for feed in on),
                conditions.unclear(["check_failed"])
                if checks is None
                else facts.of_checks(instance, [key for key in checks if key.asset_key.path[0] not in off]),
                conditions.still("server", server, self._began, now, self._patience),
            ]
        )
        self._dispatcher.look(judgement, now)
        self._dispatcher.send(WAIT)
        return self._dispatcher.state()


def alarming(feeds: Sequence[Feed]) -> dg.Definitions:
    """The sensor `alarms`."""
    judges: dict[str, PlatformJudge] = {}

    @dg.sensor(
        name="alarms",
        minimum_interval_seconds=LOOK,
        default_status=dg.DefaultSensorStatus.RUNNING,
        owners=OWNERS,
        description="Tells people what they should know (docs/operations.md): what is silent, drifts, was refused or "
        "failed, and that the server is dead.",
    )
    def sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SkipReason:
        from aerocast.alerts.settings import read_settings

        root, repository = platform.root, context.repository_def
        try:
            if (judge := judges.get(str(root))) is None:
                judge = judges[str(root)] = PlatformJudge(root, read_settings(), platform.settings)
            checks = sorted(repository.asset_graph.asset_check_keys, key=str) if repository else None
            return dg.SkipReason(summary(judge.look(context.instance, feeds, checks)))
        except AeroCastError as error:
            context.log.error(str(error))
            return dg.SkipReason(str(error))

    return dg.Definitions(sensors=[sensor])


def summary(state: "AlarmState") -> str:
    """What is open, and which channels fail, in one line."""
    from aerocast.alerts.dispatcher import trouble_text
    from aerocast.common.words import count

    now, open_alarms = datetime.now(UTC), [alarm.condition.sentence for alarm in state.alarms if alarm.is_open]
    lines = [trouble_text(name, each, now) for name, each in state.troubles.items()]
    if open_alarms:
        lines.append(f"{count(len(open_alarms), 'alarm')} open: {'; '.join(open_alarms[:10])}")
    return "; ".join(lines) or "no alarm is open"
