"""Small documents by name, such as `declared/noaa.json`, in a home that is a folder or an object store.

A reader sees a document as one writer left it, whole. Names are relative, with slashes; what begins with a dot is no
document. Address and region of an object store come from the usual variables (`AWS_ENDPOINT_URL`, `AWS_REGION`, ...),
credentials from `aerocast.storage.credentials`.
The server imports this module: the standard library; obstore only where the home is a URL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aerocast.errors import AeroCastError
from aerocast.storage import atomic, credentials
from aerocast.storage.home import Home, ObjectHome

if TYPE_CHECKING:
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

Stamp = atomic.Stamp
_RETRY_SECONDS = 20
_PAGE = 1000  # objects a listing's answer holds at most
_NO_CREDENTIALS = "there are no credentials: see AWS_ACCESS_KEY_ID, AWS_PROFILE or ~/.aws/credentials"
_NO_ANSWER = "the object store does not answer: see AWS_ENDPOINT_URL and AWS_ALLOW_HTTP"


class UnreachableError(AeroCastError):
    """The object store as a whole cannot be used, whatever is asked of it."""


def read(home: Home, name: str, most: int = atomic.LARGEST) -> bytes | None:
    """The document, or None. Raises AeroCastError when it cannot be read, or has more bytes than `most`."""
    found = read_stamped(home, name, most)
    return found[0] if found else None


def read_stamped(home: Home, name: str, most: int = atomic.LARGEST) -> tuple[bytes, Stamp] | None:
    """The document with its stamp, both of one version; None if there is none. Raises AeroCastError as `read`."""
    if isinstance(home, ObjectHome):
        import obstore

        with told(home, name, "read"):
            try:
                found = obstore.get(bucket(home.url), name)
                if found.meta["size"] > most:
                    raise OSError(f"it has {found.meta['size']} bytes, more than {most}")
                return bytes(found.bytes()), _etag(found.meta["e_tag"])
            except FileNotFoundError as error:
                _check_bucket(error)
                return None
    path = Path(home) / name
    try:
        return atomic.read_stamped(path, most)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AeroCastError(f"{path} cannot be read: {error.strerror or error}") from error


def replace(home: Home, name: str, data: bytes) -> None:
    """Old or new document, never a mixture; it survives a power cut when this returns.

    Raises:
        AeroCastError: the disk or the object store refuses; the old document is whole then.
    """
    if isinstance(home, ObjectHome):
        import obstore

        with told(home, name, "written"):
            obstore.put(bucket(home.url), name, data)
        return
    path = Path(home) / name
    with atomic.locked(path.parent, name):
        atomic.replace_file(path, data)


def swap(home: Home, name: str, data: bytes, seen: Stamp | None) -> bool:
    """Replaces the document if its stamp is still `seen` (None: there is none); False if another writer was first.

    Raises:
        AeroCastError: as `replace`.
    """
    if isinstance(home, ObjectHome):
        return _put_if(home, name, data, seen)
    path = Path(home) / name
    with atomic.locked(path.parent, name):
        if atomic.stamp(path) != seen:
            return False
        atomic.replace_file(path, data)
    return True


def stamp(home: Home, name: str) -> Stamp | None:
    """What changes whenever the document does; None while there is none. One stat, or one request without a body.

    Raises:
        OSError: a folder above it cannot be entered.
        AeroCastError: the object store does not answer.
    """
    if not isinstance(home, ObjectHome):
        return atomic.stamp(Path(home) / name)
    import obstore

    with told(home, name, "read"):
        try:
            return _etag(obstore.head(bucket(home.url), name)["e_tag"])
        except FileNotFoundError:
            return None


def size(home: ObjectHome, name: str) -> int | None:
    """The object's bytes; None if there is none. Raises AeroCastError when the object store does not answer."""
    import obstore

    with told(home, name, "read"):
        try:
            return int(obstore.head(bucket(home.url), name)["size"])
        except FileNotFoundError:
            return None


def stamps(home: Home, folder: str) -> dict[str, Stamp]:
    """The stamps of all documents below a folder, by name, sorted: of an object store one request a thousand.

    Raises:
        AeroCastError: it cannot be listed.
    """
    found = _objects(home, folder) if isinstance(home, ObjectHome) else _files(Path(home), folder)
    return {name: found[name] for name in sorted(found) if not any(part.startswith(".") for part in name.split("/"))}


def names(home: Home, folder: str) -> list[str]:
    """The names of all documents below a folder, sorted. Raises AeroCastError when it cannot be listed."""
    return list(stamps(home, folder))


def remove(home: Home, name: str) -> None:
    """The document is gone, if there was one. Raises AeroCastError when it cannot be removed."""
    if isinstance(home, ObjectHome):
        import obstore

        with told(home, name, "removed"):
            obstore.delete(bucket(home.url), [name])
        return
    path = Path(home) / name
    try:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            atomic.sync_folder(path.parent)
    except OSError as error:
        raise AeroCastError(f"{path} cannot be removed: {error.strerror or error}") from error


def made_from(home: Home, name: str) -> str | None:
    """What `note_origin` said of this document; None if nothing, or if the document is gone."""
    note = read(home, _note(name))
    return note.decode() if note is not None and stamp(home, name) is not None else None


def note_origin(home: Home, name: str, config_hash: str) -> None:
    """Says what a derived document was made from, after it was made: a kill in between leaves it to be made again."""
    replace(home, _note(name), config_hash.encode())


def check(home: ObjectHome) -> None:
    """Proves that the bucket answers and takes documents.

    Raises:
        AeroCastError: it does not, with the reason.
    """
    probe = f".writable-{os.getpid()}"
    replace(home, probe, b"aerocast")
    remove(home, probe)


def _note(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}.{file}.from"


def _put_if(home: ObjectHome, name: str, data: bytes, seen: Stamp | None) -> bool:
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    with told(home, name, "written"):
        try:
            obstore.put(bucket(home.url), name, data, mode="create" if seen is None else {"e_tag": str(seen)})
        except (AlreadyExistsError, PreconditionError):
            # The store tries again where an answer was lost: what is in the way may be what this call has put there.
            return read(home, name) == data
    return True


def _objects(home: ObjectHome, folder: str) -> dict[str, Stamp]:
    import obstore

    with told(home, folder, "listed"):
        pages = obstore.list(bucket(home.url), folder.rstrip("/"), chunk_size=_PAGE)
        return {each["path"]: _etag(each["e_tag"]) for page in pages for each in page}


def _files(root: Path, folder: str) -> dict[str, Stamp]:
    found = {}
    try:
        for above, folders, files in os.walk(root / folder, onerror=_raised):
            # A folder in a document's place is listed, too: who reads it learns that it is none.
            for name in (*files, *(each for each in folders if "." in each)):
                path = Path(above) / name
                try:
                    seen = atomic.stamp(path)
                except OSError:  # a link in a circle
                    seen = atomic.stamp_of(os.lstat(path))
                if seen is not None:
                    found[path.relative_to(root).as_posix()] = seen
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise AeroCastError(f"{root / folder} cannot be listed: {error.strerror or error}") from error
    return found


def _raised(error: OSError) -> None:
    raise error


def _etag(found: str | None) -> str:
    if not found:
        raise AeroCastError("the object store gives its objects no ETag: documents cannot be told apart")
    return found


def _check_bucket(error: FileNotFoundError) -> None:
    """Raises the error where the bucket itself is not there: that says nothing about its documents."""
    if "NoSuchBucket" in str(error):
        raise error


def bucket(url: str) -> S3Store:
    """The client of `s3://bucket/prefix`; names of objects are relative to the prefix."""
    return _opened(url, credentials.variables(), credentials.provider())


@lru_cache(maxsize=16)
def _opened(url: str, variables: credentials.Variables, provider: Boto3CredentialProvider | None) -> S3Store:
    """One client a home, with its connections; `variables` are those that it reads itself."""
    from obstore.store import S3Store

    return S3Store.from_url(
        url,
        credential_provider=provider,
        # Given options replace all those of the environment.
        client_options={
            "allow_http": dict(variables).get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes", "on"),
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(seconds=60),
        },
        retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)},
    )


@contextmanager
def told(home: ObjectHome, name: str, done: str) -> Iterator[None]:
    """Turns the object store's refusal into one sentence."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        reason = _reason(error)
        kind = UnreachableError if reason in (_NO_ANSWER, _NO_CREDENTIALS) else AeroCastError
        raise kind(f"{home.url}/{name} could not be {done}: {reason}") from error


def _reason(error: Exception) -> str:
    """Why, in a few words: the library's own message goes on with the whole request."""
    text = str(error)
    if code := re.search(r"<Code>(\w+)</Code>(?:<Message>([^<]*)</Message>)?", text):
        return f"{code[2] or code[1]} ({code[1]})".replace("\n", " ")
    if "169.254.169.254" in text:  # where a machine of the cloud asks for the rights of its role
        return _NO_CREDENTIALS
    if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
        return "access is denied: see AWS_ACCESS_KEY_ID, AWS_PROFILE or ~/.aws/credentials"
    first = text.split("\n", 1)[0]
    if "error sending request" in first or "HTTP error" in first:
        return _NO_ANSWER
    return first[:300]
