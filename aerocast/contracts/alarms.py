"""What a person is to know now: conditions, the alarms that they open, and what each channel has had of them.

Two judges look: `platform` (a sensor) and `server`. Each keeps `<home>/alarms/<judge>.json`, and beats in
`<home>/alarms/<judge>.beat.json`, by which the other one knows that it lives.
The server imports this module: msgspec and the standard library only.
"""

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import Literal, NamedTuple, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from aerocast.storage.documents import Document, Instant
from aerocast.storage.home import Home, store_of

Judge = Literal["platform", "server"]
JUDGES: tuple[Judge, ...] = get_args(Judge)
AlarmKind = Literal[
    "feed_silent",
    "station_silent",
    "drift_hot",
    "retrain_useless",
    "release_refused",
    "release_withdrawn",
    "release_unusable",
    "check_failed",
    "disk_full",
    "platform_silent",
    "server_silent",
]
KINDS: tuple[AlarmKind, ...] = get_args(AlarmKind)
PHASES = ("began", "over")
PAST = 50  # alarms that are over and of which everybody was told, which stay to be looked at
MOST = 1000  # alarms in all: beyond it the oldest that are over go, told or not


class Condition(Struct, frozen=True, omit_defaults=True):
    """Something that a person should know while it lasts; `since` is when it began, in the feed's time where it has
    one.
    """

    kind: AlarmKind
    sentence: str
    feed: str | None = None
    target: str | None = None
    station: str | None = None
    check: str | None = None
    since: Instant | None = None

    @property
    def key(self) -> str:
        """What it is about: of one key there is one open alarm."""
        return key_of(self.kind, self.feed, self.target, self.station, self.check)


def key_of(kind: AlarmKind, *about: str | None) -> str:
    """The key of a condition, or what those of a feed begin with."""
    return "/".join(msgspec.json.encode(each).decode() for each in (kind, *about))


class Judgement(NamedTuple):
    """All conditions that hold now; of keys that begin with one of `unclear` nothing could be learned, so that what is
    open stays open, and nothing opens.
    """

    conditions: tuple[Condition, ...] = ()
    unclear: tuple[str, ...] = ()

    def is_unclear(self, key: str) -> bool:
        return key.startswith(self.unclear)


class Alarm(Struct, frozen=True, omit_defaults=True):
    """A condition from `opened_at` to `over_at`, real time; `began` and `over` are the channels that were told so.

    It is `closed` when it is over and every channel has it.
    """

    id: str
    condition: Condition
    opened_at: Instant
    over_at: Instant | None = None
    began: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    closed: bool = False

    @property
    def is_open(self) -> bool:
        return self.over_at is None


class ChannelTrouble(Struct, frozen=True):
    """Since when a channel fails, how often in a row, when it is tried next (real time), and why."""

    since: Instant
    failures: int
    due: Instant
    reason: str


class AlarmState(Struct, frozen=True):
    """A judge's alarms, oldest first, and the channels that fail by name."""

    alarms: tuple[Alarm, ...] = ()
    troubles: dict[str, ChannelTrouble] = {}

    @property
    def open_keys(self) -> frozenset[str]:
        return frozenset(alarm.condition.key for alarm in self.alarms if alarm.is_open)


class Letter(NamedTuple):
    """What one channel is still to be told of one alarm."""

    alarm: Alarm
    phase: Literal["began", "over"]


class Heartbeat(Struct, frozen=True):
    """That a judge looked at `at`, real time; `ended` if it was stopped in order and looks no more."""

    at: Instant
    ended: bool = False


def observe(state: AlarmState, judge: Judge, judgement: Judgement, now: datetime) -> AlarmState:
    """The state after a look: what holds and was not open opens, what is open and holds no more is over.

    The words and figures of what lasts stay those with which it began.
    """
    holds = {each.key: each for each in judgement.conditions}
    alarms = []
    for alarm in state.alarms:
        key = alarm.condition.key
        if alarm.is_open and key not in holds and not judgement.is_unclear(key):
            alarm = replace(alarm, over_at=now)
        alarms.append(alarm)
    for key, condition in holds.items():
        if key not in state.open_keys and not judgement.is_unclear(key):
            name = hashlib.sha256(f"{judge} {key} {now.isoformat()}".encode()).hexdigest()[:20]
            alarms.append(Alarm(name, condition, now))
    return replace(state, alarms=tuple(alarms))


def letters(state: AlarmState, channel: str, kinds: Collection[str]) -> list[Letter]:
    """What a channel is still to be told, in the order in which it happened."""
    due: list[Letter] = []
    for alarm in state.alarms:
        if alarm.closed or alarm.condition.kind not in kinds:
            continue
        if channel not in alarm.began:
            due.append(Letter(alarm, "began"))
        if not alarm.is_open and channel not in alarm.over:
            due.append(Letter(alarm, "over"))
    return sorted(due, key=lambda each: each.alarm.over_at or each.alarm.opened_at)


def note_delivery(state: AlarmState, letter: Letter, channel: str) -> AlarmState:
    """The state after a channel took a letter; it works."""
    alarms = []
    for alarm in state.alarms:
        if alarm.id == letter.alarm.id:
            names = tuple(sorted({*getattr(alarm, letter.phase), channel}))
            alarm = replace(alarm, **{letter.phase: names})
        alarms.append(alarm)
    troubles = {name: each for name, each in state.troubles.items() if name != channel}
    return replace(state, alarms=tuple(alarms), troubles=troubles)


def settle(state: AlarmState, channels: Collection[str], kinds: Collection[str]) -> AlarmState:
    """Closes what is over and told to these channels, and forgets the oldest of it, and channels that are gone."""
    waiting = {letter.alarm.id for channel in channels for letter in letters(state, channel, kinds)}
    alarms = [
        replace(alarm, closed=True) if not alarm.is_open and alarm.id not in waiting else alarm
        for alarm in state.alarms
    ]
    closed = [alarm.id for alarm in alarms if alarm.closed]
    past = [alarm.id for alarm in alarms if not alarm.is_open]
    drop = {*closed[:-PAST], *past[: max(0, len(alarms) - MOST)]}
    troubles = {name: each for name, each in state.troubles.items() if name in channels}
    return replace(state, alarms=tuple(alarm for alarm in alarms if alarm.id not in drop), troubles=troubles)


def document(home: Home, judge: Judge) -> Document[AlarmState]:
    """A judge's alarms; it does not exist before the first."""
    return Document(store_of(home), f"alarms/{judge}.json", AlarmState, "list of alarms", indent=1)


def heartbeat(home: Home, judge: Judge) -> Document[Heartbeat]:
    """When a judge looked last; it does not exist where there never was one."""
    return Document(store_of(home), f"alarms/{judge}.beat.json", Heartbeat, "heartbeat")
