"""Sets a feed's clock: at which instant a simulated (or replayed) feed lives now, and how fast its time passes."""

import argparse
from datetime import UTC, datetime

from aerocast.errors import AeroCastError
from aerocast.home import Home
from aerocast_assets.cli.command import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(commands, "simulate", _run, "set the clock of a simulated feed")
    parser.add_argument("--feed", default="heatwave")
    parser.add_argument("--at", required=True, help="the feed's present, ISO 8601, UTC unless it says otherwise")
    parser.add_argument("--speed", type=float, default=1.0, help="its seconds in a second")
    parser.add_argument("--until", help="where its time stops")


def _run(options: argparse.Namespace) -> int:
    return simulate(options.home, options.feed, options.at, options.speed, options.until)


def simulate(home: Home, feed_name: str, at: str, speed: float, until: str | None) -> int:
    """From now on the feed lives at `at`, and each second `speed` of its seconds pass. Exit status 0.

    Raises:
        AeroCastError: no such feed, or an instant or speed that makes no sense.
    """
    from aerocast import clock
    from aerocast.clock import Clock
    from aerocast_assets.feeds import find_feed

    feed = find_feed(feed_name)
    instant, limit = _instant("--at", at), _instant("--until", until) if until else None
    if not 0 <= speed < float("inf"):
        raise AeroCastError(
            f"--speed: {speed} is not allowed: seconds of the feed in a second, 0 (stands still) or more"
        )
    if limit and limit < instant:
        raise AeroCastError(f"--until: {until} is before --at {at}")
    clock.write(home, feed.name, Clock(instant, datetime.now(UTC), speed, limit))
    shown = clock.now(home, feed.name, feed.end)
    stops = f", until {limit:%Y-%m-%d %H:%M} UTC" if limit else ""
    print(f"{feed.name} lives at {shown:%Y-%m-%d %H:%M} UTC now, {speed:g} seconds a second{stops}.")
    if feed.end and instant > feed.end:
        print(f"Its readings end at {feed.end:%Y-%m-%d %H:%M} UTC, so it stays there.")
    return 0


def _instant(option: str, text: str) -> datetime:
    """An instant in ISO 8601; without an offset it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise AeroCastError(f"{option}: {text!r} is no instant in ISO 8601, such as 2024-04-10T00:00:00Z") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
