"""Asks a web service politely: time-outs, retries with back-off and jitter, Retry-After, and a budget of time.

Temporary failures are tried again: transport errors, 5xx and 429. Any other refusal is final.
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from aerocast.common.errors import AeroCastError

ATTEMPTS = 4
SECONDS = 120.0  # for everything that one client is asked for
CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 15.0  # seconds
LARGEST = 32 << 20  # bytes of an answer
LONGEST_QUIET = 86_400.0  # seconds that a service is left alone at most, whatever it asks for
_EXCERPT = 200


class NwsAnswer(NamedTuple):
    """What the service said: `body` is empty when nothing has changed (304)."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class RefusedError(AeroCastError):
    """No answer that can be used; `status` is None if there was no answer at all."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class _AgainError(RefusedError):
    """A refusal that may pass; the service asks to wait `after` seconds (0: it does not say)."""

    def __init__(self, sentence: str, status: int | None = None, after: float = 0.0) -> None:
        super().__init__(sentence, status)
        self.after = after


class NwsClient:
    """One service for one poll. Whatever is asked for, all of it ends within `seconds`.

    `sleep` and `clock` (seconds that only rise) are given by tests, which must not wait.

    Raises:
        AeroCastError: `agent` is no text that a header can carry.
    """

    def __init__(
        self,
        base: str,
        agent: str,
        *,
        seconds: float = SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base = base.rstrip("/")
        self.clock = clock
        self.end = clock() + seconds
        self.quiet = 0.0  # not to be asked before this instant of `clock`
        self._sleep = sleep
        self._attempts = ATTEMPTS
        self._wait = wait_exponential_jitter(initial=1, max=30, jitter=1)
        if not (agent.isascii() and agent.isprintable()):
            raise AeroCastError(f"AEROCAST_USER_AGENT {agent!r}: only printable ASCII can be sent")
        headers = {"User-Agent": agent, "Accept": "application/geo+json, application/json;q=0.9"}
        self._http = httpx.Client(headers=headers, follow_redirects=True, max_redirects=3)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def get(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        until: float | None = None,
        attempts: int = ATTEMPTS,
    ) -> NwsAnswer:
        """The answer to one question, 200 or (if `headers` make it conditional) 304, before `until` on `clock`.

        Raises:
            RefusedError: none that can be used; what the service said is in the sentence.
        """
        latest = min(self.end, until if until is not None else self.end)
        most = min(attempts, self._attempts)
        retry = Retrying(
            retry=retry_if_exception_type(_AgainError),
            stop=lambda state: state.attempt_number >= most or self.clock() + state.upcoming_sleep > latest,
            wait=self._pause,
            sleep=self._sleep,
            reraise=True,
        )
        remaining = self.quiet - self.clock()  # as long as the service asked, whichever question it was about
        if self.quiet > latest:
            raise RefusedError(f"{path}: the service asked to wait another {remaining:.0f} s", 429)
        if remaining > 0:
            self._sleep(remaining)
        return retry(self._once, path, headers or {}, latest)

    def path(self, address: str) -> str:
        """The path of an address that the service gave: it is asked for at our base, wherever it points."""
        parts = urlsplit(address)
        own = urlsplit(self.base).path
        path = parts.path.removeprefix(own) if own else parts.path
        return f"{path}?{parts.query}" if parts.query else path

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        pause = error.after if isinstance(error, _AgainError) else 0.0
        return max(self._wait(state), pause)

    def _once(self, path: str, headers: Mapping[str, str], latest: float) -> NwsAnswer:
        remaining = latest - self.clock()
        if remaining <= 0:
            raise RefusedError(f"{path}: no time left for a request")
        timeout = httpx.Timeout(min(READ_TIMEOUT, remaining), connect=min(CONNECT_TIMEOUT, remaining))
        try:
            with self._http.stream("GET", self.base + path, headers=dict(headers), timeout=timeout) as response:
                body = self._body(response, path, latest)
        except (httpx.TooManyRedirects, httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise RefusedError(f"{self.base}{path} cannot be requested: {_words(error)}") from error
        except httpx.ConnectError as error:
            self._attempts = 1  # where nobody answers, the next station is not worth more than a look
            raise _AgainError(f"{self.base} cannot be reached: {_words(error)}") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _AgainError(f"{path} was not answered: {_words(error)}") from error
        self._attempts = ATTEMPTS
        if response.status_code == HTTPStatus.OK or (response.status_code == HTTPStatus.NOT_MODIFIED and headers):
            return NwsAnswer(response.status_code, body, response.headers)
        return self._refuse(path, response, body)

    def _body(self, response: httpx.Response, path: str, latest: float) -> bytes:
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > LARGEST:
                raise RefusedError(f"{path} was answered with more than {LARGEST >> 20} MB", response.status_code)
            if self.clock() > latest:  # a server may drip forever without one read timing out
                raise RefusedError(f"{path}: the answer took longer than the time left")
        return bytes(body)

    def _refuse(self, path: str, response: httpx.Response, body: bytes) -> NwsAnswer:
        status = response.status_code
        sentence = f"{path} was answered {status} {response.reason_phrase}".rstrip() + problem(body)
        if status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS:
            raise RefusedError(sentence, status)
        after = retry_after(response.headers.get("Retry-After", ""))
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self.quiet = self.clock() + min(after, LONGEST_QUIET)
        raise _AgainError(f"{sentence}; it asks for {after:.0f} s of patience" if after else sentence, status, after)


def problem(body: bytes) -> str:
    """What an error's body (problem+json) says for people, with a colon before it; empty for any other body."""
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    parts = [document.get(name) for name in ("title", "detail")] if isinstance(document, dict) else []
    texts = list(dict.fromkeys(" ".join(text.split()) for text in parts if isinstance(text, str) and text.strip()))
    return f": {': '.join(texts)}"[:_EXCERPT] if texts else ""


def retry_after(text: str, real: datetime | None = None) -> float:
    """The seconds that a `Retry-After` means, as a number or as a date; 0 for none that can be read."""
    if text.strip().isdecimal():
        return float(text)
    try:
        time_ = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    return max(0.0, (time_.replace(tzinfo=time_.tzinfo or UTC) - (real or datetime.now(UTC))).total_seconds())


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_EXCERPT].rstrip(": ")
