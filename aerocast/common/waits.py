"""How long to wait after an event of which the instant is stored, though a clock may have been wrong then or now.

An instant in the future cannot be when something happened, so it starts no pause; the next event is stored with an
instant of its own. So no wait is ever longer than the pause itself.
"""

from datetime import datetime, timedelta

# After a first failure; twice as long after each further one in a row.
PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
DOUBLINGS = 6  # a back-off grows no further, so that an old failure does not silence anything forever


def pause_end(pause: timedelta, since: datetime, now: datetime) -> datetime:
    """When a pause that began at `since` ends; `now` if `since` is in the future."""
    return since + pause if since <= now else now


def remaining(pause: timedelta, since: datetime, now: datetime) -> timedelta:
    """How much longer to wait: from 0 to the whole pause."""
    return max(pause_end(pause, since, now) - now, timedelta(0))


def backoff(pause: timedelta, failures: int, longest: timedelta = timedelta.max) -> timedelta:
    """The pause after this many further failures in a row, at most `longest`."""
    return min(longest, pause * (1 << min(failures, DOUBLINGS)))


def is_recent(age: float, span: float) -> bool:
    """Whether something of this age, in seconds, is younger than `span`.

    An age is the difference of two clocks, such as a disk's and ours: one that is a little ahead counts as young, too.
    """
    return abs(age) < span
