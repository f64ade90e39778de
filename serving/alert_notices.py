"""What the judges have noted between two looks, as notices: alarms that opened, and alarms that are over."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from aerocast.contracts.alarms import Alarm, AlarmState, Judge
from serving.notices import AlertNotice


def alert_notices(
    at: datetime, judge: Judge, before: AlarmState | None, now: AlarmState | None
) -> Iterator[AlertNotice]:
    """What began and what is over, oldest first; of what did both between two looks both are news."""
    if now is None or now is before:
        return
    past = {alarm.id: alarm for alarm in before.alarms} if before else {}
    for alarm in now.alarms:
        old = past.get(alarm.id)
        if old is None:
            yield _notice(at, judge, "began", alarm)
        if not alarm.is_open and (old is None or old.is_open):
            yield _notice(at, judge, "over", alarm)


def _notice(at: datetime, judge: Judge, change: Literal["began", "over"], alarm: Alarm) -> AlertNotice:
    own = alarm.condition
    return AlertNotice(
        at=at,
        change=change,
        condition=own.kind,
        alarm=alarm.id,
        judge=judge,
        sentence=own.sentence,
        opened_at=alarm.opened_at,
        over_at=alarm.over_at if change == "over" else None,
        since=own.since,
        feed=own.feed,
        target=own.target,
        station=own.station,
        check=own.check,
    )
