"""Requests over HTTP: the token, time-outs, and another try when the server is busy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay

from aerocast.client.errors import NoAnswer, RequestRefusal

BUSY = 429
LONGEST_PAUSE = 60.0  # seconds, where the server does not say how long


class Transport:
    """One server. A request that it is too busy for is sent again when it says, for `patience` seconds in all.

    Every method raises RequestRefusal for a problem, and NoAnswer where nothing, or no AeroCast server, answered within
    `timeout` seconds.
    """

    def __init__(self, url: str, token: str, timeout: float, patience: float) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.url = url
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        self._retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, RequestRefusal) and error.status == BUSY),
            wait=_pause,
            stop=stop_before_delay(patience),
            reraise=True,
        )

    def get(self, path: str, **parameters: Any) -> Any:
        """The answer's JSON; parameters that are None are left out."""
        return self._json(self._retrying(self.send, "GET", path, parameters=parameters))

    def post(self, path: str, content: bytes, **headers: str) -> Any:
        """The answer's JSON. The content is JSON unless a header says otherwise; `_` in their names stands for `-`."""
        return self._json(self._retrying(self.send, "POST", path, content=content, headers=headers))

    def send(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        """One request, once."""
        query = {name: value for name, value in (parameters or {}).items() if value is not None}
        own = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if content is not None:
            own = {"content-type": "application/json", **own}
        try:
            answer = self._http.request(method, path, content=content, headers=own, params=query)
        except httpx.TransportError as error:
            raise self._silence(error) from error
        return _checked(answer)

    @contextmanager
    def lines(
        self, path: str, headers: Mapping[str, str], parameters: Mapping[str, Any], silence: float
    ) -> Iterator[Iterator[str]]:
        """The lines of an answer as they come; it has ended where nothing came for `silence` seconds."""
        query = {name: value for name, value in parameters.items() if value is not None}
        timeout = httpx.Timeout(silence)
        try:
            with self._http.stream("GET", path, headers=dict(headers), params=query, timeout=timeout) as answer:
                if not answer.is_success:
                    answer.read()
                yield _checked(answer).iter_lines()
        except httpx.TransportError as error:
            raise self._silence(error) from error

    def close(self) -> None:
        self._http.close()

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return msgspec.json.decode(answer.content)
        except msgspec.DecodeError as error:
            raise NoAnswer(f"{answer.url} did not answer like an AeroCast server: {error}") from error

    def _silence(self, error: httpx.TransportError) -> NoAnswer:
        return NoAnswer(f"no server answers at {self.url} ({type(error).__name__})")


def _checked(answer: httpx.Response) -> httpx.Response:
    """Raises RequestRefusal."""
    if answer.is_success:
        return answer
    try:
        document = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        document = None
    seconds = answer.headers.get("retry-after", "")
    retry_after = float(seconds) if seconds.isdecimal() else None
    raise RequestRefusal(answer.status_code, document if isinstance(document, dict) else {}, retry_after)


def _pause(state: RetryCallState) -> float:
    """What the server said, or a pause that doubles."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RequestRefusal) and error.retry_after is not None:
        return error.retry_after
    return float(min(LONGEST_PAUSE, 2 ** (state.attempt_number - 1)))
