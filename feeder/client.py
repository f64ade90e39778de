"""The server as the feeder sees it: asked again while it is away, and never for what it has refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from threading import Event
from typing import Any, TypeVar

import msgspec
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    stop_when_event_set,
    wait_exponential,
)
from tenacity.nap import sleep_using_event

from aerocast.client.errors import NoAnswer, RequestRefusal
from aerocast.client.transport import BUSY, Transport
from aerocast.common.errors import AeroCastError
from feeder.journal import Pending
from serving.schemas import Evaluation, FeedView, Prediction, TargetModels

T = TypeVar("T")
AWAY = {BUSY, 502, 504}
AWAY_PROBLEMS = {"urn:aerocast:problem:no-release", "urn:aerocast:problem:not-kept"}
SECONDS = 10.0


class Stopped(Exception):
    """The feeder was told to stop while it waited for the server."""


class _Away(Exception):
    """The server cannot be reached, or cannot answer yet."""


class PatientClient:
    """Every method waits for a server that is away, until `stopped` is set (then it raises Stopped)."""

    def __init__(self, url: str, token: str, stopped: Event, say: Callable[[str], None]) -> None:
        self._transport = Transport(url, token, SECONDS, patience=0)
        self._url, self._say, self._has_warned = url, say, False
        self._retrying = Retrying(
            retry=retry_if_exception_type(_Away),
            wait=wait_exponential(multiplier=0.05, max=2),
            stop=stop_when_event_set(stopped),
            sleep=sleep_using_event(stopped),
            before_sleep=self._tell,
        )

    def feed(self, name: str, wait: bool) -> FeedView:
        """What can be asked of the feed; with `wait` until it is served.

        Raises:
            AeroCastError: it is not served.
        """

        def look() -> FeedView:
            views = {feed.name: feed for feed in self._get("/feeds", list[FeedView])}
            if name in views:
                return views[name]
            if wait or not views:
                raise _Away(f"{self._url} does not serve {name} yet")
            raise AeroCastError(f"{self._url} does not serve {name}; it serves {', '.join(views)}")

        return self._patiently(look)

    def learned_until(self, feed: str) -> dict[str, datetime]:
        """By target, the end of what the release that serves was trained on."""
        models = self._patiently(lambda: self._get(f"/models?feed={feed}&limit=1000", list[TargetModels]))
        return {
            model.target: one.lineage.training_end
            for model in models
            for one in model.releases
            if one.serving and one.lineage
        }

    def predict(self, **body: Any) -> Prediction:
        """A forecast. Raises RequestRefusal."""
        return self._patiently(lambda: self._post("/predict", body, Prediction))

    def outcome(self, feed: str, pending: Pending, actual: float) -> Evaluation:
        """Posts what came of a forecast; as a pair where the server does not remember the id. Raises RequestRefusal."""
        body = {"id": pending.id, "horizon": pending.horizon, "actual": actual}
        try:
            return self._patiently(lambda: self._post("/eval", body, Evaluation))
        except RequestRefusal as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        pair = {"predicted": pending.predicted, "actual": actual, "station": pending.station}
        pair |= {"feed": feed, "target": pending.target}
        return self._patiently(lambda: self._post("/eval", pair, Evaluation))

    def close(self) -> None:
        self._transport.close()

    def _patiently(self, ask: Callable[[], T]) -> T:
        try:
            answer = self._retrying(ask)
        except RetryError:
            raise Stopped from None
        self._has_warned = False
        return answer

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if not self._has_warned and state.attempt_number >= 3:
            self._say(f"waiting: {error}")
            self._has_warned = True

    def _get(self, path: str, kind: type[T]) -> T:
        return self._answer("GET", path, None, kind)

    def _post(self, path: str, body: dict[str, Any], kind: type[T]) -> T:
        return self._answer("POST", path, msgspec.json.encode(body), kind)

    def _answer(self, method: str, path: str, content: bytes | None, kind: type[T]) -> T:
        try:
            answer = self._transport.send(method, path, content)
            return msgspec.json.decode(answer.content, type=kind)
        except NoAnswer as error:
            raise _Away(str(error)) from error
        except RequestRefusal as error:
            if error.status in AWAY or error.type in AWAY_PROBLEMS:
                raise _Away(f"{self._url} cannot answer yet: {error}") from error
            raise
        except msgspec.DecodeError as error:
            raise AeroCastError(f"{self._url}{path} did not answer like an AeroCast server: {error}") from error
