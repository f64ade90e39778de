"""The server as the feeder sees it: asked again while it is away, and never for what it has refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from threading import Event
from typing import Any, TypeVar

import httpx
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

from aerocast.common.errors import AeroCastError
from feeder.journal import Pending
from serving.schemas import Evaluation, FeedView, Prediction, TargetModels

T = TypeVar("T")
AWAY = {429, 502, 504}
AWAY_PROBLEMS = {"urn:aerocast:problem:no-release", "urn:aerocast:problem:not-kept"}
SECONDS = 10.0


class Stopped(Exception):
    """The feeder was told to stop while it waited for the server."""


class Refusal(Exception):
    """The server understood, and said no: asking again would change nothing."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class _Away(Exception):
    """The server cannot be reached, or cannot answer yet."""


class Client:
    """Every method waits for a server that is away, until `stopped` is set (then it raises Stopped)."""

    def __init__(self, url: str, token: str, stopped: Event, say: Callable[[str], None]) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=SECONDS)
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
        """A forecast. Raises Refusal."""
        return self._patiently(lambda: self._post("/predict", body, Prediction))

    def outcome(self, feed: str, pending: Pending, actual: float) -> Evaluation:
        """Posts what came of a forecast; as a pair where the server does not remember the id. Raises Refusal."""
        body = {"id": pending.id, "horizon": pending.horizon, "actual": actual}
        try:
            return self._patiently(lambda: self._post("/eval", body, Evaluation))
        except Refusal as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
        pair = {"predicted": pending.predicted, "actual": actual, "station": pending.station}
        pair |= {"feed": feed, "target": pending.target}
        return self._patiently(lambda: self._post("/eval", pair, Evaluation))

    def close(self) -> None:
        self._http.close()

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
        return _decoded(self._send("GET", path, None), kind)

    def _post(self, path: str, body: dict[str, Any], kind: type[T]) -> T:
        return _decoded(self._send("POST", path, body), kind)

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        content = None if body is None else msgspec.json.encode(body)
        try:
            answer = self._http.request(method, path, content=content, headers={"content-type": "application/json"})
        except httpx.TransportError as error:
            raise _Away(f"no server answers at {self._url} ({type(error).__name__})") from error
        if answer.is_success:
            return answer
        problem = _problem(answer)
        if answer.status_code in AWAY or problem.get("type") in AWAY_PROBLEMS:
            raise _Away(f"{self._url} cannot answer yet: {problem.get('detail', answer.status_code)}")
        raise Refusal(answer.status_code, str(problem.get("detail", f"status {answer.status_code}")))


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _decoded(answer: httpx.Response, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.DecodeError as error:
        raise AeroCastError(f"{answer.url} did not answer like an AeroCast server: {error}") from error
