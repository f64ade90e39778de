"""Where the feeder stopped: durable, so that a killed one asks and posts nothing twice but what was on its way.

`<home>/feeder/<feed>.json` is the state as of a moment; `<feed>.<generation>.journal` beside it holds what happened
since, one line an event, written at once. Every FOLD events the journal is folded into the state.
"""

from __future__ import annotations

import errno
import fcntl
import os
from datetime import datetime
from pathlib import Path

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.storage import atomic
from aerocast.storage.home import Home

FOLD = 5_000


class Pending(msgspec.Struct, frozen=True):
    """A forecast whose outcome is not known yet; `time` is when it should come true."""

    id: str
    target: str
    station: str
    horizon: int
    time: datetime
    predicted: float
    version: str


class Event(msgspec.Struct, tag_field="event"):
    """Something that was done and must not be done again."""


class Asked(Event, tag="asked"):
    """A forecast of (target, station) from `origin`, and what is to be posted about it."""

    target: str
    station: str
    origin: datetime
    version: str
    pending: tuple[Pending, ...]


class Passed(Event, tag="passed"):
    """An origin that is not asked for: its readings have a hole (`skipped`), or the server refused it (`refused`)."""

    target: str
    station: str
    origin: datetime
    why: str


class Settled(Event, tag="settled"):
    """A forecast's outcome was `posted`, or will never be known (`unknown`)."""

    id: str
    horizon: int
    why: str


class State(msgspec.Struct):
    """`origins` are the newest ones dealt with by target, then station; `counts` by what came of each event."""

    feed: str
    generation: int = 0
    origins: dict[str, dict[str, datetime]] = {}
    pending: list[Pending] = []
    counts: dict[str, int] = {}
    versions: dict[str, int] = {}


_EVENTS: msgspec.json.Decoder[Asked | Passed | Settled] = msgspec.json.Decoder(Asked | Passed | Settled)


class Journal:
    """The state of one feed's feeder; one process at a time.

    Raises, from every method:
        AeroCastError: another feeder of this feed runs, the state cannot be read, or the disk refuses.
    """

    def __init__(self, home: Home, feed: str) -> None:
        self._folder, self._feed = Path(home) / "feeder", feed
        try:
            atomic.make_folder(self._folder)
            self._lock = open(self._folder / f".{feed}.lock", "wb")  # noqa: SIM115 - held as long as the feeder lives
            self._claim()
            self.state = self._read()
            self._by_name = {(one.id, one.horizon): one for one in self.state.pending}
            self._lines = 0
            self._stream = open(self._path, "ab", buffering=0)  # noqa: SIM115 - held until it is folded
            self._replay()
            self.fold()
            for path in self._folder.glob(f"{feed}.*.journal"):
                if path != self._path:  # a fold was killed before it removed the old one
                    path.unlink()
        except OSError as error:
            raise self._refused(error) from error

    @property
    def pending(self) -> list[Pending]:
        """Forecasts whose outcome was not posted yet."""
        return list(self._by_name.values())

    def origin(self, target: str, station: str) -> datetime | None:
        """The newest origin that was dealt with."""
        return self.state.origins.get(target, {}).get(station)

    def record(self, event: Asked | Passed | Settled) -> None:
        """Written before it returns, so that it outlives this process."""
        try:
            line = msgspec.json.encode(event) + b"\n"
            if self._stream.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._apply(event)
            self._lines += 1
            if self._lines >= FOLD:
                self.fold()
        except OSError as error:
            raise self._refused(error) from error

    def fold(self) -> None:
        """The journal becomes part of the state: on disk, synced."""
        try:
            old, self.state.generation = self._path, self.state.generation + 1
            self.state.pending = self.pending
            atomic.replace_file(self._folder / f"{self._feed}.json", msgspec.json.encode(self.state))
            self._stream.close()
            self._stream = open(self._path, "wb", buffering=0)  # noqa: SIM115 - held until it is folded
            old.unlink(missing_ok=True)
            self._lines = 0
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        self.fold()
        self._stream.close()
        self._lock.close()

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._feed}.{self.state.generation}.journal"

    def _claim(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AeroCastError(f"another feeder of {self._feed} runs on {self._folder.parent}") from None

    def _read(self) -> State:
        path = self._folder / f"{self._feed}.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=State)
        except FileNotFoundError:
            return State(self._feed)
        except msgspec.DecodeError as error:
            raise AeroCastError(f"the feeder's state {path} is damaged: {error}; remove it to start again") from error

    def _replay(self) -> None:
        """What a killed feeder had written since the last fold; the line it died in was not done."""
        data = self._path.read_bytes()
        for line in data[: data.rfind(b"\n") + 1].splitlines():
            try:
                self._apply(_EVENTS.decode(line))
            except msgspec.DecodeError as error:
                raise AeroCastError(f"the feeder's journal {self._path} is damaged: {error}") from error

    def _apply(self, event: Asked | Passed | Settled) -> None:
        state = self.state
        if isinstance(event, Settled):
            self._by_name.pop((event.id, event.horizon), None)
            self._count(event.why)
            return
        state.origins.setdefault(event.target, {})[event.station] = event.origin
        if isinstance(event, Passed):
            self._count(event.why)
            return
        self._by_name |= {(one.id, one.horizon): one for one in event.pending}
        state.versions[event.version] = state.versions.get(event.version, 0) + 1
        self._count("asked")

    def _count(self, what: str) -> None:
        self.state.counts[what] = self.state.counts.get(what, 0) + 1

    def _refused(self, error: OSError) -> AeroCastError:
        return AeroCastError(f"the feeder's state in {self._folder} cannot be kept: {error.strerror or error}")
