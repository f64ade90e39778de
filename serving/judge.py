"""The server's judge: it misses the platform, sees releases that do not load and a disk that fills."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from litestar import Litestar

from aerocast.alerts import conditions
from aerocast.alerts.dispatcher import Dispatcher
from aerocast.alerts.settings import AlertSettings, channels
from aerocast.common.errors import AeroCastError
from aerocast.contracts import alarms
from aerocast.contracts.alarms import Condition, Judgement
from aerocast.storage.home import Home
from serving.hot_swap import ServingStore

LOOK_SECONDS = 10.0
log = logging.getLogger("aerocast.serving")


class ServerJudge:
    """Of one server, since it was made."""

    def __init__(self, dispatcher: Dispatcher, patience: timedelta, least_free: float, look_seconds: float) -> None:
        self.home, self.look_seconds = dispatcher.home, look_seconds
        self._dispatcher, self._patience, self._least_free = dispatcher, patience, least_free
        self._began = datetime.now(UTC)

    def look(self, store: ServingStore) -> None:
        """Raises AeroCastError: the home cannot be read, or takes no heartbeat; what is known is told all the same."""
        now, trouble = datetime.now(UTC), None
        try:
            self._dispatcher.beat(now)
        except AeroCastError as error:  # a full disk is the very thing to tell of
            trouble = error
        self._dispatcher.look(self._judgement(store, now), now)
        self._dispatcher.send(0.0)
        if trouble:
            raise trouble

    def end(self) -> None:
        """Says that it was stopped in order. Raises AeroCastError: the home refuses."""
        self._dispatcher.beat(datetime.now(UTC), ended=True)

    def _judgement(self, store: ServingStore, now: datetime) -> Judgement:
        is_full = Condition("disk_full", "").key in self._dispatcher.state().open_keys
        parts = [self._platform(now), _disk(self.home, self._least_free, is_full)]
        if store.last_poll is None:
            parts.append(conditions.unclear(["release_unusable"]))
        for (feed, target), slot in store.releases.items():
            if not store.retirement(feed, target):
                parts.append(conditions.unusable(feed, target, slot.error, slot.since))
        return conditions.together(parts)

    def _platform(self, now: datetime) -> Judgement:
        try:
            beat = alarms.heartbeat(self.home, "platform").read()
        except AeroCastError:
            return conditions.unclear(["platform_silent"])
        return conditions.still("platform", beat, self._began, now, self._patience)


def judge_of(home: Home, settings: AlertSettings, url: str, look_seconds: float = LOOK_SECONDS) -> ServerJudge:
    """Raises AeroCastError: a setting cannot be used."""
    dispatcher = Dispatcher(home, "server", channels(settings), settings.kind_names, url)
    return ServerJudge(dispatcher, settings.patience, settings.disk, look_seconds)


def judging(judge: ServerJudge, store: ServingStore) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """Looks again and again, as long as the event loop turns: a loop that hangs is missed by the platform."""

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        task = asyncio.create_task(_look(judge, store))
        yield
        task.cancel()
        await asyncio.wait([task])
        with suppress(AeroCastError):
            await asyncio.to_thread(judge.end)

    return lifespan


async def _look(judge: ServerJudge, store: ServingStore) -> None:
    before = ""
    while True:
        try:
            await asyncio.to_thread(judge.look, store)
            before = ""
        except AeroCastError as error:
            if str(error) != before:  # it lasts, and is logged once
                log.error("alarms: %s", error)
            before = str(error)
        except Exception:  # a fault of ours ends no judge
            log.exception("alarms could not be judged")
        await asyncio.sleep(judge.look_seconds)


def _disk(home: Home, least: float, is_open: bool) -> Judgement:
    try:
        usage = shutil.disk_usage(Path(home))
    except OSError:
        return conditions.unclear(["disk_full"])
    return conditions.disk(usage.free, usage.total, least, is_open)
