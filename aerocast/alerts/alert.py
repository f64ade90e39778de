"""What a channel is given: one alert, the same for every channel, with an id by which a repeat is known."""

import socket
import uuid
from datetime import datetime
from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from aerocast.common.words import printable
from aerocast.contracts.alarms import AlarmKind, Judge, Letter

LONGEST = 600  # characters of a sentence: some quote what a file or a service said
OF_LOOP = ("drift_hot", "retrain_useless", "release_refused", "release_withdrawn", "release_unusable")
STATES = {"began": "", "over": "over: ", "test": "test: "}
TITLES: dict[str, str] = {
    "feed_silent": "feed is silent",
    "station_silent": "station is silent",
    "drift_hot": "drift lasts",
    "retrain_useless": "retraining has not helped",
    "release_refused": "release refused",
    "release_withdrawn": "release withdrawn",
    "release_unusable": "release does not load",
    "check_failed": "check failed",
    "disk_full": "disk nearly full",
    "platform_silent": "platform is silent",
    "server_silent": "server is silent",
    "test": "an alert arrives",
}


class Alert(Struct, frozen=True):
    """`id` names the message: one that comes twice is one. `alarm` joins the beginning of a condition and its end.

    `since` is when the condition began, in the feed's time where it has one; `opened_at` and `over_at` are real time.
    """

    id: str
    alarm: str
    state: Literal["began", "over", "test"]
    kind: AlarmKind | Literal["test"]
    title: str
    sentence: str
    link: str
    judge: Judge | Literal["command"]
    host: str
    opened_at: datetime
    over_at: datetime | None = None
    since: datetime | None = None
    feed: str | None = None
    target: str | None = None
    station: str | None = None
    check: str | None = None


def alert_of(letter: Letter, judge: Judge, url: str) -> Alert:
    """What is sent for a letter; `url` is where people reach the server."""
    alarm, own = letter.alarm, letter.alarm.condition
    about = "/".join(each for each in (own.feed, own.station or own.target) if each)
    return Alert(
        id=f"{alarm.id}-{letter.phase}",
        alarm=alarm.id,
        state=letter.phase,
        kind=own.kind,
        title=printable(f"{STATES[letter.phase]}{f'{about}: ' if about else ''}{TITLES[own.kind]}", 160),
        sentence=printable(own.sentence, LONGEST),
        link=link(url, own.kind, own.feed, own.station),
        judge=judge,
        host=socket.gethostname(),
        opened_at=alarm.opened_at,
        over_at=alarm.over_at if letter.phase == "over" else None,
        since=own.since,
        feed=own.feed,
        target=own.target,
        station=own.station,
        check=own.check,
    )


def link(url: str, kind: str, feed: str | None, station: str | None) -> str:
    """The page that shows it."""
    base = url.rstrip("/")
    if station and feed:
        return f"{base}/#/station/{quote(feed, safe='')}/{quote(station, safe='')}"
    if kind in OF_LOOP:
        return f"{base}/#/loop"
    return f"{base}/#/data" if feed else f"{base}/health"


def sample_alert(url: str, now: datetime) -> Alert:
    """One that says that alerts arrive."""
    name = f"test-{uuid.uuid4().hex[:16]}"
    text = "This is a test: nothing is wrong, and alerts of this platform arrive here."
    title = f"{STATES['test']}{TITLES['test']}"
    return Alert(name, name, "test", "test", title, text, link(url, "test", None, None), "command",
                 socket.gethostname(), now)  # fmt: skip
