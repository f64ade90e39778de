"""What the judges have noted between two looks, as notices: alarms that opened, and alarms that are over."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from aerocast.contracts.alarms import Alarm, AlarmState, Judge
from serving.notices import AlarmRecord, AlertNotice


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
    own = record_of(judge, alarm)
    over_at = own.over_at if change == "over" else None
    return AlertNotice(**msgspec.structs.asdict(own) | {"over_at": over_at}, at=at, change=change)


def record_of(judge: Judge, alarm: Alarm) -> AlarmRecord:
    """An alarm as it is answered."""
    own = alarm.condition
    return AlarmRecord(
        condition=own.kind,
        alarm=alarm.id,
        judge=judge,
        sentence=own.sentence,
        opened_at=alarm.opened_at,
        over_at=alarm.over_at,
        since=own.since,
        feed=own.feed,
        target=own.target,
        station=own.station,
        check=own.check,
    )
