"""A prefix of an object store as a `Store`, through obstore, which is imported with the first request.

Address and region come from the usual variables (`AWS_ENDPOINT_URL`, `AWS_REGION`, ...), credentials from
`aerocast.storage.credentials`. The server imports this module: the standard library only.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aerocast.common.errors import AeroCastError
from aerocast.storage import atomic, credentials
from aerocast.storage.atomic import Stamp
from aerocast.storage.store import Entry, Listing, Store, UnreachableError

if TYPE_CHECKING:
    import duckdb
    from obstore import ObjectMeta
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

_RETRY_SECONDS = 20
_PAGE = 1000  # objects a listing's answer holds at most
_NO_CREDENTIALS = "there are no credentials: see AWS_ACCESS_KEY_ID, AWS_PROFILE or ~/.aws/credentials"
_NO_ANSWER = "the object store does not answer: see AWS_ENDPOINT_URL and AWS_ALLOW_HTTP"


@dataclass(frozen=True, slots=True)
class ObjectStore(Store):
    """Objects under `s3://bucket/prefix`, without a slash at its end; the stamp of an object is its ETag."""

    url: str
    local: ClassVar[bool] = False

    def __str__(self) -> str:
        return self.url

    def below(self, folder: str) -> ObjectStore:
        return ObjectStore(f"{self.url}/{folder}")

    def read_stamped(self, name: str, most: int = atomic.LARGEST) -> tuple[bytes, Stamp] | None:
        import obstore

        with self._errors_explained(name, "read"):
            try:
                answer = obstore.get(self._client(), name)
                if answer.meta["size"] > most:
                    raise OSError(f"it has {answer.meta['size']} bytes, more than {most}")
                return bytes(answer.bytes()), _etag(answer.meta)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):  # then nothing is known about its documents
                    raise
                return None

    def replace(self, name: str, data: bytes, *, private: bool = False) -> None:
        import obstore

        with self._errors_explained(name, "written"):
            obstore.put(self._client(), name, data)

    def swap(self, name: str, data: bytes, expected: Stamp | None, *, private: bool = False) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._errors_explained(name, "written"):
            try:
                obstore.put(self._client(), name, data, mode="create" if expected is None else {"e_tag": str(expected)})
            except (AlreadyExistsError, PreconditionError):
                # The client retries after a lost answer, so the object that exists may be this call's own.
                return self.read(name) == data
        return True

    def stamp(self, name: str) -> Stamp | None:
        meta = self._head(name)
        return _etag(meta) if meta else None

    def stamps(self, folder: str) -> dict[str, Stamp]:
        import obstore

        with self._errors_explained(folder, "listed"):
            pages = obstore.list(self._client(), folder.rstrip("/"), chunk_size=_PAGE)
            stamps = {each["path"]: _etag(each) for page in pages for each in page}
        return {name: stamps[name] for name in sorted(stamps) if not atomic.is_hidden(name)}

    def size(self, name: str) -> int | None:
        meta = self._head(name)
        return int(meta["size"]) if meta else None

    def remove(self, name: str) -> None:
        import obstore

        with self._errors_explained(name, "removed"):
            obstore.delete(self._client(), [name])

    def link(self, name: str) -> str:
        return f"{self.url}/{name}"

    def probe(self, *, writes: bool) -> None:
        probe = f".writable-{os.getpid()}"
        if writes:
            self.replace(probe, b"aerocast")
            self.remove(probe)
        else:
            self.read(probe)

    def listing(self, folder: str = "") -> Listing:
        import obstore

        with self._errors_explained(folder, "listed"):
            page = obstore.list_with_delimiter(self._client(), folder or None)
        prefix = f"{folder}/" if folder else ""
        files = [_entry(each, each["path"].removeprefix(prefix)) for each in page["objects"]]
        return Listing(files, [path.removeprefix(prefix).rstrip("/") for path in page["common_prefixes"]])

    @contextmanager
    def local_copy(self, entry: Entry) -> Iterator[Path]:
        import obstore

        with tempfile.TemporaryDirectory(prefix="aerocast-") as folder:
            path = Path(folder) / "object"
            with self._errors_explained(entry.name, "read"), path.open("wb") as file:
                for chunk in obstore.get(self._client(), entry.name, options={"if_match": str(entry.stamp)}):
                    file.write(chunk)
            yield path

    def current(self, entry: Entry) -> Entry | None:
        return entry

    def move(self, name: str, target: str) -> None:
        import obstore

        with self._errors_explained(name, "moved"):
            try:
                obstore.copy(self._client(), name, target)
            except FileNotFoundError:
                return
            obstore.delete(self._client(), [name])

    def delta_options(self) -> dict[str, str] | None:
        return credentials.options()

    def attach(self, con: duckdb.DuckDBPyConnection) -> None:
        if not con.filesystem_is_registered("s3"):
            from aerocast.storage.objectfiles import DataFiles

            con.register_filesystem(DataFiles("s3", credential_provider=credentials.provider()))

    def duckdb_files(self, uris: Iterable[str]) -> list[str]:
        return sorted(uris)

    def folders_with(self, marker: str) -> list[str]:
        from obstore import list_with_delimiter

        client, folders, queue = self._client(), list[str](), [""]
        while queue:
            prefix = queue.pop()
            with self._errors_explained(prefix, "listed"):
                below = [each.rstrip("/") for each in list_with_delimiter(client, prefix or None)["common_prefixes"]]
            if any(each.rpartition("/")[2] == marker for each in below):
                folders.append(prefix)
            else:
                queue += below
        return sorted(folders)

    def _head(self, name: str) -> ObjectMeta | None:
        import obstore

        with self._errors_explained(name, "read"):
            try:
                return obstore.head(self._client(), name)
            except FileNotFoundError:
                return None

    def _client(self) -> S3Store:
        """A client whose names of objects are relative to the prefix."""
        return _connect(self.url, credentials.variables(), credentials.provider())

    @contextmanager
    def _errors_explained(self, name: str, action: str) -> Iterator[None]:
        """Turns an error of the object store into one sentence."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            reason = _reason(error)
            kind = UnreachableError if reason in (_NO_ANSWER, _NO_CREDENTIALS) else AeroCastError
            raise kind(f"{self.link(name).rstrip('/')} could not be {action}: {reason}") from error


@lru_cache(maxsize=16)
def _connect(url: str, variables: credentials.Variables, provider: Boto3CredentialProvider | None) -> S3Store:
    """One client for each prefix, with its connections; it reads the environment `variables` itself."""
    from obstore.store import S3Store

    return S3Store.from_url(
        url,
        credential_provider=provider,
        # These options replace all those of the environment.
        client_options={
            "allow_http": dict(variables).get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes", "on"),
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(seconds=60),
        },
        retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)},
    )


def _etag(meta: ObjectMeta) -> str:
    tag = meta["e_tag"]
    if not tag:
        raise AeroCastError("the object store gives its objects no ETag: a change of a document cannot be seen")
    return tag


def _entry(meta: ObjectMeta, name: str) -> Entry:
    time, tag = meta["last_modified"].timestamp(), str(meta["e_tag"])
    return Entry(name, meta["size"], time, tag, f"{tag} {time}", time)


def _reason(error: Exception) -> str:
    """The reason in a few words: the library's own message contains the whole request."""
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
