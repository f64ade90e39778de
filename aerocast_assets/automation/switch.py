"""Which feeds run by themselves: one that is opt-in (it asks a public service, or is a demonstration) waits for a word.

The word is a variable of the environment, read where definitions load: the one that the source kind names (it tells a
service who asks), or else `AEROCAST_OPT_IN`, which names feeds. A person can also start the sensors of one feed in
the UI.
"""

import os

import dagster as dg

from aerocast.feed.declaration import Feed


def switch(feed: Feed) -> str:
    """What to set so that the feed runs by itself; empty if it does."""
    if not feed.opt_in:
        return ""
    if feed.source.switch:
        variable, example = feed.source.switch
        return "" if os.environ.get(variable) else f"{variable}={example}"
    names = os.environ.get("AEROCAST_OPT_IN", "").replace(",", " ").split()
    return "" if feed.name in names else f"AEROCAST_OPT_IN={','.join([*names, feed.name])}"


def sensor_status(feed: Feed) -> dg.DefaultSensorStatus:
    """Of the feed's sensors, until a person starts or stops them."""
    return dg.DefaultSensorStatus.STOPPED if switch(feed) else dg.DefaultSensorStatus.RUNNING


def schedule_status(feed: Feed) -> dg.DefaultScheduleStatus:
    """Of the feed's schedules, until a person starts or stops them."""
    return dg.DefaultScheduleStatus.STOPPED if switch(feed) else dg.DefaultScheduleStatus.RUNNING


def described(feed: Feed, text: str) -> str:
    """A description that says how to switch on what is off."""
    hint = switch(feed)
    return f"{text} Off: the feed is opt-in. It is on where {hint} is set." if hint else text
