"""How long to wait after something that happened at a stored instant, though a clock may have been wrong then or now.

An instant that lies in the future cannot be when something happened: it says nothing, so nothing is waited for. What is
done then is stored with an instant of its own. So no wait is ever longer than the pause that was meant.
"""

from __future__ import annotations

from datetime import datetime, timedelta

# After a first failure; doubled with each further one in a row.
PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
DOUBLINGS = 6  # a back-off grows no further, so that an old failure does not silence anything forever


def end_of(pause: timedelta, since: datetime, now: datetime) -> datetime:
    """When a pause is over that began at `since`; `now` if that is in the future."""
    return since + pause if since <= now else now


def left_of(pause: timedelta, since: datetime, now: datetime) -> timedelta:
    """What is left of the pause: from 0 to the whole of it."""
    return max(end_of(pause, since, now) - now, timedelta(0))


def doubled(pause: timedelta, times: int, longest: timedelta = timedelta.max) -> timedelta:
    """The pause of a back-off after `times` more failures in a row, at most `longest`."""
    return min(longest, pause * (1 << min(times, DOUBLINGS)))


def is_recent(age: float, span: float) -> bool:
    """Whether something of this age, in seconds, is younger than `span`.

    Ages are differences of two clocks, such as a disk's and ours, so that one which is a little ahead counts as young.
    """
    return abs(age) < span
