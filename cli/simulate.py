"""Sets the clock of a simulated feed: at which instant it lives now, and how fast its time passes."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aerocast.common.errors import AeroCastError
from aerocast.common.times import from_iso, to_minute
from aerocast.storage.home import Home
from cli.command import Commands, add_command

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed


def add(commands: Commands) -> None:
    parser = add_command(commands, "simulate", _run, "set the clock of a simulated feed")
    parser.add_argument("--feed", default="heatwave")
    clock = parser.add_mutually_exclusive_group(required=True)
    clock.add_argument("--reset", action="store_true", help="follow the wall clock again")
    clock.add_argument("--at", help="the feed's present, ISO 8601, UTC unless it says otherwise")
    parser.add_argument("--speed", type=float, default=1.0, help="its seconds in a second")
    parser.add_argument("--until", help="where its time stops")


def _run(options: argparse.Namespace) -> int:
    if options.reset:
        return reset(options.home, options.feed)
    return simulate(options.home, options.feed, options.at, options.speed, options.until)


def reset(home: Home, feed_name: str) -> int:
    """The feed lives at the wall's time again, or at its end. Exit status 0.

    Raises:
        AeroCastError: no such simulated feed.
    """
    from aerocast.contracts import clock

    feed = _simulated(feed_name)
    clock.document(home, feed.name).remove()
    print(f"{feed.name} follows the wall clock: {clock.now(home, feed.name, feed.end):%Y-%m-%d %H:%M} UTC now.")
    return 0


def simulate(home: Home, feed_name: str, at: str, speed: float, until: str | None) -> int:
    """From now on the feed lives at `at`, and each second `speed` of its seconds pass. Exit status 0.

    Raises:
        AeroCastError: no such simulated feed, or an instant or speed that makes no sense.
    """
    from aerocast.common.words import count
    from aerocast.contracts import clock
    from aerocast.contracts.clock import Clock
    from aerocast_assets.automation.switch import switch

    feed = _simulated(feed_name)
    instant, limit = _instant("--at", at), _instant("--until", until) if until else None
    if not 0 <= speed <= clock.FASTEST:
        rule = f"seconds of the feed in a second, from 0 (stands still) to {clock.FASTEST:g}"
        raise AeroCastError(f"--speed: {speed} is not allowed: {rule}")
    if limit and limit < instant:
        raise AeroCastError(f"--until: {until} is before --at {at}")
    clock.document(home, feed.name).write(Clock(instant, datetime.now(UTC), speed, limit))
    present = clock.now(home, feed.name, feed.end)
    stops = f", until {to_minute(limit)}" if limit else ""
    pace = f"{count(speed, 'second')} of its time in each of ours"
    print(f"{feed.name} lives at {to_minute(present)} now; {pace}{stops}.")
    if feed.end and instant > feed.end:
        print(f"Its readings end at {to_minute(feed.end)}, so it stays there.")
    if hint := switch(feed):
        print(f"It runs by itself only where {hint} is set; `aerocast run --feed {feed.name}` runs it once.")
    print(f"`aerocast simulate --feed {feed.name} --reset` undoes this.")
    return 0


def _simulated(name: str) -> Feed:
    """The feed; AeroCastError if its readings are real: a clock of their own would make all of them late or early."""
    from aerocast_assets.feeds import feeds, find_feed

    feed = find_feed(name)
    if feed.source.change is None:
        allowed = ", ".join(each.name for each in feeds() if each.source.change)
        raise AeroCastError(f"--feed: {name} is not simulated, its readings have their own time; allowed: {allowed}")
    return feed


def _instant(option: str, text: str) -> datetime:
    """An instant in ISO 8601; without an offset it is UTC."""
    instant = from_iso(text)
    if instant is None:
        raise AeroCastError(f"{option}: {text!r} is not a time in ISO 8601, such as 2024-04-10T00:00:00Z")
    return instant
