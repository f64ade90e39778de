"""Runs `python -m feeder.demand --since ISO --until ISO [--speed N]`: posts made readings of the feed `demand`.

Half-hourly electricity demand of a state as large as Victoria, and the temperature that it follows: two peaks on a
working day, fewer people at work at the weekend, heating and cooling, noise. Every reading is a function of the seed
and its instant, so that a span can be posted again, and continued.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from aerocast.client import Client
from aerocast.common.errors import AeroCastError
from aerocast.common.times import EPOCH, from_iso
from feeder.progress import say
from serving.config import read_settings

CADENCE, ZONE = timedelta(minutes=30), ZoneInfo("Australia/Melbourne")
BASE, SIZE_OF_DAY, WEEKEND = 4700.0, 850.0, 0.88  # MW, MW, share of a working day's
COMFORT, HEATING, COOLING = 18.0, 45.0, 70.0  # degC, MW a degree below and above
NOISE = (60.0, 0.4)  # standard deviations in MW and degC
LIMIT = 3.0  # at which noise is cut
WEATHER = ((3.1, 3.0), (7.7, 2.5))  # periods in days and sizes in degC of slow weather
MOST_STEPS, LEAST_PAUSE = 1000, 0.05  # in one post, and seconds between two


def readings(first: datetime, last: datetime, station: str, seed: int) -> Iterator[dict[str, Any]]:
    """Readings at each half hour from `first` up to, not including, `last`: `Demand` in MW, `Temperature` in degC."""
    for step in range(-((EPOCH - first) // CADENCE), -((EPOCH - last) // CADENCE)):
        yield _reading(step, station, seed)


def _reading(step: int, station: str, seed: int) -> dict[str, Any]:
    instant = EPOCH + step * CADENCE
    noise = np.clip(np.random.default_rng([seed, step]).standard_normal(2), -LIMIT, LIMIT)
    local = instant.astimezone(ZONE)
    degrees = _temperature(local, step, seed) + NOISE[1] * noise[1]
    power = BASE + _day(local) * SIZE_OF_DAY + NOISE[0] * noise[0]
    power *= WEEKEND if local.weekday() >= 5 else 1.0
    power += HEATING * max(0.0, COMFORT - degrees) + COOLING * max(0.0, degrees - COMFORT)
    return {
        "station": station,
        "time": f"{instant:%Y-%m-%dT%H:%M:%SZ}",
        "Demand": round(float(power), 1),
        "Temperature": round(float(degrees), 1),
    }


def _day(local: datetime) -> float:
    """The shape of a day, from -1 at night to about 1: a peak in the morning, a higher one in the evening."""
    hour = local.hour + local.minute / 60
    peaks = ((8.5, 2.5, 1.3), (13.0, 4.0, 0.9), (18.5, 2.5, 1.5))
    return sum(size * float(np.exp(-(((hour - at) / width) ** 2))) for at, width, size in peaks) - 1


def _temperature(local: datetime, step: int, seed: int) -> float:
    """Warmest in late January and at four in the afternoon, and moved by slow weather."""
    hour, day = local.hour + local.minute / 60, local.timetuple().tm_yday
    season = 15.0 + 5.0 * float(np.cos(2 * np.pi * (day - 25) / 365.25))
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(WEATHER))
    turns = [2 * np.pi * step * (CADENCE / timedelta(days=days)) for days, _ in WEATHER]
    weather = sum(size * float(np.sin(turn + at)) for (_, size), turn, at in zip(WEATHER, turns, phases, strict=True))
    return season + 4.5 * float(np.cos(2 * np.pi * (hour - 16) / 24)) + weather


def post(client: Client, options: argparse.Namespace, stopped: Event) -> int:
    """Posts readings as their time comes, `speed` of their seconds in each of ours; how many.

    Raises:
        AeroCastError: the server cannot be reached, or refuses.
    """
    count, began, place = 0, time.monotonic(), options.since
    while place < options.until and not stopped.is_set():
        present = options.since + timedelta(seconds=(time.monotonic() - began) * options.speed)
        rows = list(
            readings(place, min(present, options.until, place + MOST_STEPS * CADENCE), options.station, options.seed)
        )
        if rows:
            count += client.observe(options.feed, rows).accepted
            place += len(rows) * CADENCE
            say(f"{rows[-1]['time']}  posted {count:,}")
        stopped.wait(max(LEAST_PAUSE, (place - present).total_seconds() / options.speed))
    return count


def main(arguments: Sequence[str] | None = None) -> int:
    """0 at the end or after SIGTERM or Ctrl-C, 1 with one sentence on stderr when it cannot go on."""
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    options = _options(arguments)
    try:
        with Client(options.url, read_settings().token) as client:
            print(f"posted {post(client, options, stopped):,} readings of {options.feed}")
    except AeroCastError as error:
        say(str(error))
        return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m feeder.demand", description="Post made readings of demand.")
    parser.add_argument("--since", type=_instant, required=True, help="time of the first reading, ISO 8601")
    parser.add_argument("--until", type=_instant, required=True, help="time before which the last one is")
    parser.add_argument(
        "--speed", type=float, default=1800.0, help="their seconds in one of ours (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=7, help="of the random numbers (default: %(default)s)")
    parser.add_argument("--feed", default="demand", help="a feed with these fields (default: %(default)s)")
    parser.add_argument("--station", default="VIC", help="(default: %(default)s)")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not options.speed > 0:
        parser.error("--speed must be more than 0")
    if options.seed < 0:
        parser.error("--seed must be 0 or more")
    return options


def _instant(text: str) -> datetime:
    """The first half hour at or after an instant."""
    instant = from_iso(text)
    if instant is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2014-12-01 or 2014-12-01T06:00:00Z")
    return EPOCH - (EPOCH - instant) // CADENCE * CADENCE


if __name__ == "__main__":
    sys.exit(main())
