"""Runs `python -m feeder --feed noaa [--url ...] [--since ISO] [--until ISO] [--rate N] [--follow]`."""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import datetime
from threading import Event

from aerocast.common.errors import AeroCastError
from aerocast.common.times import from_iso
from aerocast.storage.home import Home, home_of, store_of
from aerocast.storage.settings import Settings
from feeder.client import PatientClient, Stopped
from feeder.journal import Journal
from feeder.progress import Pace, line, say, summary
from feeder.readings import Readings
from feeder.replay import Replay
from serving.config import read_settings

POLL_SECONDS = 0.5


def main(arguments: list[str] | None = None) -> int:
    """0 at the end of the feed or after SIGTERM or Ctrl-C, 1 with one sentence on stderr when it cannot go on."""
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        settings = read_settings()
        options = _options(home_of(settings), arguments)
        if store_of(options.home).local and not options.home.is_dir():
            raise AeroCastError(f"AEROCAST_HOME {options.home} does not exist; make it, or run the pipeline first")
        client = PatientClient(options.url, settings.token, stopped, say)
        try:
            _run(options, client, stopped)
        except Stopped:
            pass
        finally:
            client.close()
    except AeroCastError as error:
        say(str(error))
        return 1
    return 0


def _run(options: argparse.Namespace, client: PatientClient, stopped: Event) -> None:
    feed = client.feed(options.feed, wait=options.follow)
    since = client.learned_until(feed.name)
    if options.since:
        since = {target.name: options.since for target in feed.targets}
    journal = Journal(options.home, feed.name)
    try:
        replay = Replay(feed, journal, client, since)
        _go_through(options, replay, stopped)
        if not options.follow:
            print("\n".join(summary(replay)), flush=True)
    finally:
        journal.close()


def _go_through(options: argparse.Namespace, replay: Replay, stopped: Event) -> None:
    """Once, or with --follow each time that there are newer readings."""
    readings, feed = Readings(options.home, options.feed), replay.feed
    pace = Pace(options.rate, stopped, lambda: say(line(replay)))
    last_version: int | None = None
    while not stopped.is_set():
        version = readings.version()
        if version is not None and version != last_version:
            last_version = version
            replay.run(readings.rows(feed.window.columns, replay.first()), options.until, stopped, pace)
            say(line(replay))
        if not options.follow:
            if version is None:
                raise AeroCastError(f"there are no readings of {feed.name} in {options.home}: run the pipeline first")
            return
        stopped.wait(POLL_SECONDS)


def _options(home: Home, arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m feeder",
        description="Ask a server for forecasts of a feed's measured readings, and post what really came. It goes on"
        " where it stopped.",
    )
    parser.add_argument("--feed", required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server (default: %(default)s)")
    parser.add_argument("--home", type=_place, default=home, help="where the lake is (default: AEROCAST_HOME)")
    parser.add_argument(
        "--since", type=_moment, help="first origin to ask for; default: where the training of what serves ends"
    )
    parser.add_argument("--until", type=_moment, help="last step to look at")
    parser.add_argument("--rate", type=float, help="at most so many forecasts a second")
    parser.add_argument("--follow", action="store_true", help="wait for new readings at the end")
    options = parser.parse_args(arguments)
    if options.rate is not None and options.rate <= 0:
        parser.error("--rate must be more than 0")
    return options


def _place(text: str) -> Home:
    return home_of(Settings(home=text))


def _moment(text: str) -> datetime:
    moment = from_iso(text)
    if moment is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2013-11-01 or 2013-11-01T06:00:00Z")
    return moment


if __name__ == "__main__":
    sys.exit(main())
