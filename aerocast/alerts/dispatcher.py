"""Keeps a judge's alarms, and sends what channels are still to be told: each alert at least once, and once as a rule.

What is sent is noted after each alert. A process that dies in between sends that one again under the same id, by which
a receiver drops it.
"""

import fcntl
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from aerocast.alerts.alert import alert_of
from aerocast.alerts.channel import Channel
from aerocast.common.errors import AeroCastError
from aerocast.common.waits import LONGEST_PAUSE, PAUSE, backoff, remaining
from aerocast.contracts import alarms
from aerocast.contracts.alarms import AlarmKind, AlarmState, ChannelTrouble, Heartbeat, Judge, Judgement, Letter
from aerocast.storage import atomic
from aerocast.storage.atomic import Stamp
from aerocast.storage.home import Home

log = logging.getLogger("aerocast.alerts")

MOST_AT_ONCE = 20  # alerts of a channel in one look: the rest comes with the next one
Change = Callable[[AlarmState], AlarmState]


class Dispatcher:
    """Of one judge in one process; `url` is where people reach the server."""

    def __init__(
        self,
        home: Home,
        judge: Judge,
        channels: Sequence[Channel] = (),
        kinds: Collection[AlarmKind] = alarms.KINDS,
        url: str = "",
    ) -> None:
        self.home, self.judge, self.channels = home, judge, tuple(channels)
        self._kinds, self._url = frozenset(kinds), url
        self._document = alarms.document(home, judge)
        self._unsaved: tuple[AlarmState, Stamp | None] | None = None
        self._guard = threading.RLock()
        self._sender: threading.Thread | None = None

    def beat(self, now: datetime, *, ended: bool = False) -> None:
        """Says that this judge lives. Raises AeroCastError: the home refuses."""
        alarms.heartbeat(self.home, self.judge).write(Heartbeat(now, ended))

    def state(self) -> AlarmState:
        """What is open and what was. Raises AeroCastError: the home cannot be read."""
        with self._guard:
            return self._read()[0]

    def look(self, judgement: Judgement, now: datetime) -> None:
        """Notes what began and what is over. Raises AeroCastError: the home cannot be read."""
        self._change(lambda state: self._settled(alarms.observe(state, self.judge, judgement, now)))

    def send(self, wait: float) -> bool:
        """Sends in a thread of its own, and waits for it so many seconds; whether all that was due is done.

        What hangs holds up nobody but the next call, which does nothing while this one goes on.
        """
        if self._sender is None or not self._sender.is_alive():
            self._sender = threading.Thread(target=self.send_due, name="alerts", daemon=True)
            self._sender.start()
        self._sender.join(wait)
        return not self._sender.is_alive()

    def send_due(self) -> None:
        """Sends what is due by every channel, unless another process is at it."""
        if not self.channels:
            return
        with self._alone() as is_alone:
            for channel in self.channels if is_alone else ():
                try:
                    self._deliver(channel)
                except AeroCastError as error:  # of the home
                    log.error("alerts by %s: %s", channel.name, error)
                except Exception:  # a fault of ours must not keep the other channels from theirs
                    log.exception("alerts by %s", channel.name)

    def _deliver(self, channel: Channel) -> None:
        for _ in range(MOST_AT_ONCE):
            state = self.state()
            due = alarms.letters(state, channel.name, self._kinds)
            trouble, now = state.troubles.get(channel.name), datetime.now(UTC)
            if not due or (trouble and now < trouble.due <= now + LONGEST_PAUSE):
                return
            letter = due[0]
            try:
                channel.send(alert_of(letter, self.judge, self._url))
            except AeroCastError as error:
                log.error("an alert by %s was not taken: %s", channel.name, error)
                self._change(_failure(channel.name, str(error), now))
                return
            self._change(partial(self._delivered, letter=letter, channel=channel.name))

    def _delivered(self, state: AlarmState, letter: Letter, channel: str) -> AlarmState:
        return self._settled(alarms.note_delivery(state, letter, channel))

    def _settled(self, state: AlarmState) -> AlarmState:
        return alarms.settle(state, [channel.name for channel in self.channels], self._kinds)

    def _change(self, change: Change) -> None:
        """Applies a change to what is newest, also where others write."""
        with self._guard:
            while True:
                state, stamp = self._read()
                after = change(state)
                if (after == state and self._unsaved is None) or self._write(after, stamp):
                    return

    def _read(self) -> tuple[AlarmState, Stamp | None]:
        """The newest state with its stamp; a damaged one begins again, and what lasts is told again."""
        if self._unsaved is not None:
            return self._unsaved
        if wrong := self._document.mend():
            log.error("%s; what lasts is told again", wrong)
        state, stamp = self._document.read_stamped()
        return state or AlarmState(), stamp

    def _write(self, state: AlarmState, stamp: Stamp | None) -> bool:
        """False if another writer was first. A disk that refuses costs memory, and no alert comes twice by it."""
        try:
            is_saved = self._document.swap(state, stamp)
        except AeroCastError as error:
            log.error("alarms are kept in memory alone: %s", error)
            self._unsaved = state, stamp
            return True
        self._unsaved = None
        return is_saved

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process on this machine sends for this judge; the kernel frees the lock of one that dies."""
        path = Path(self.home) / "alarms" / f".{self.judge}.lock"
        try:
            atomic.make_folder(path.parent)
            lock = path.open("wb")
        except OSError:  # a full disk: then, too, people are told
            yield True
            return
        with lock:
            is_alone = False
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_alone = True
            yield is_alone


def _failure(channel: str, reason: str, now: datetime) -> Change:
    """Notes that a channel took nothing; it is tried again after a pause that grows."""

    def change(state: AlarmState) -> AlarmState:
        before = state.troubles.get(channel)
        failures, since = (before.failures + 1, before.since) if before else (1, now)
        pause = backoff(PAUSE, failures - 1, LONGEST_PAUSE)
        trouble = ChannelTrouble(since, failures, now + pause, reason)
        return replace(state, troubles={**state.troubles, channel: trouble})

    return change


def trouble_text(channel: str, trouble: ChannelTrouble, now: datetime) -> str:
    """What is wrong with a channel, as a sentence."""
    wait = remaining(trouble.due - now, now, now)
    return f"alerts by {channel} do not arrive: {trouble.reason} ({trouble.failures} times; next in {wait.seconds} s)"
