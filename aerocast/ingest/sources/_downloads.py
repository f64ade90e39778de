"""Downloads a file by HTTP, and only what has changed: conditional requests, retries, a copy that is kept.

Temporary failures are tried again: transport errors, 5xx and 429. Any other refusal is final.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aerocast.common.errors import AeroCastError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
ATTEMPTS = 4
_VALIDATORS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
_AGAIN = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}


class _AgainError(AeroCastError):
    """A refusal that may pass."""


def stamp(url: str, label: str) -> str:
    """What the server says of the file's version; the content's SHA-256 if it says nothing.

    Raises:
        AeroCastError: it cannot be had; a sentence that begins with the label.
    """

    def ask(client: httpx.Client) -> str | None:
        response = client.head(url)
        # Not every server knows HEAD: then the file itself has to say it.
        return _version(response) if response.status_code == HTTPStatus.OK else None

    version = _retried(label, ask)
    if version:
        return version
    with local_copy(url, label, None) as path, path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def local_copy(url: str, label: str, work: Path | None) -> Iterator[Path]:
    """The file as it is now; in `work` a copy is kept, and downloaded again only if it has changed.

    Raises:
        AeroCastError: as `stamp`.
    """
    with tempfile.TemporaryDirectory(prefix="aerocast-") as folder:
        place = Path(folder) if work is None else work / "downloads"
        place.mkdir(parents=True, exist_ok=True)
        copy = place / hashlib.sha256(url.encode()).hexdigest()
        note = copy.with_suffix(".json")

        def ask(client: httpx.Client) -> None:
            with client.stream("GET", url, headers=_conditions(copy, note)) as response:
                if response.status_code == HTTPStatus.NOT_MODIFIED and copy.exists():
                    return
                _check(response)
                part = copy.with_suffix(f".{os.getpid()}.part")
                with part.open("wb") as file:
                    for chunk in response.iter_bytes(1 << 20):
                        file.write(chunk)
                note.unlink(missing_ok=True)  # it is not the new copy's
                part.replace(copy)
                headers = {name: response.headers[name] for name in _VALIDATORS if name in response.headers}
                note.write_text(json.dumps(headers))

        _retried(label, ask)
        yield copy


def _conditions(copy: Path, note: Path) -> dict[str, str]:
    """Headers by which the server sends the file only if it is not the copy."""
    with suppress(OSError, ValueError):
        headers = json.loads(note.read_text())
        if copy.exists():
            return {_VALIDATORS[name]: value for name, value in headers.items()}
    return {}


def _version(response: httpx.Response) -> str | None:
    parts = [
        f"{name} {response.headers[name]}" for name in (*_VALIDATORS, "content-length") if name in response.headers
    ]
    is_known = any(name in response.headers for name in _VALIDATORS)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest() if is_known else None


def _check(response: httpx.Response) -> None:
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    sentence = f"was answered {status} {response.reason_phrase}".rstrip()
    raise (_AgainError if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _AGAIN else AeroCastError)(sentence)


def _retried(label: str, ask: Callable[[httpx.Client], T]) -> T:
    import httpx
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

    errors = (_AgainError, httpx.TransportError)
    again = Retrying(
        retry=retry_if_exception_type(errors),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=0.2, max=10),
        reraise=True,
    )
    timeout = httpx.Timeout(60, connect=10)
    try:
        with httpx.Client(follow_redirects=True, max_redirects=5, timeout=timeout) as client:
            return again(ask, client)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AeroCastError(f"{label} cannot be requested: {error or type(error).__name__}") from error
    except AeroCastError as error:
        raise AeroCastError(f"{label} {error}") from error
