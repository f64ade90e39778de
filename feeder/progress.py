"""What the feeder says while it works, and when it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from threading import Event

from feeder.replay import Replay

EVERY_SECONDS = 1.0


class Pace:
    """At most `rate` requests a second, and a line of progress now and then."""

    def __init__(self, rate: float | None, stopped: Event, show: Callable[[], None]) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._stopped, self._show = stopped, show
        self._next = time.monotonic()
        self._shown_at = self._next

    def __call__(self) -> None:
        """Waits until the next request may go out."""
        now = time.monotonic()
        if now - self._shown_at >= EVERY_SECONDS:
            self._shown_at = now
            self._show()
        if self._gap:
            self._stopped.wait(max(0.0, self._next - now))
            self._next = max(self._next, now) + self._gap


def say(text: str) -> None:
    print(f"feeder: {text}", file=sys.stderr, flush=True)


def line(replay: Replay) -> str:
    """Where it is, how much was done ever, the server's rolling error, the versions that answered, the drift flag."""
    state, counts = replay.journal.state, replay.journal.state.counts
    place = f"{replay.place:%Y-%m-%d %H:%M}" if replay.place else "-"
    parts = [f"{place}  asked {counts.get('asked', 0):,}  posted {counts.get('posted', 0):,}"]
    parts += [f"{name} {counts[name]:,}" for name in ("skipped", "refused", "unknown") if counts.get(name)]
    for target, latest in replay.latest.items():
        rmse = "-" if latest.rmse is None else f"{latest.rmse:.3g}"
        parts.append(f"{target} rmse {rmse} ({latest.n})  drift {'YES' if latest.drift_flagged else 'no'}")
    return "  ".join([*parts, f"versions {', '.join(state.versions) or '-'}"])


def summary(replay: Replay) -> list[str]:
    """The lines after a recorded feed's end."""
    waiting = len(replay.journal.pending)
    lines = [
        line(replay),
        f"{waiting:,} forecasts reach beyond the newest reading" if waiting else "nothing is pending",
    ]
    for version, (count, rmse) in sorted(replay.errors.rmse().items()):
        lines.append(f"{version}: rmse {rmse:.4g} over {count:,} outcomes of this run, all horizons")
    return lines
