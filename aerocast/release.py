"""Releases: the immutable bundle of a champion that the server loads, and the pointer to the one that serves.

    <home>/releases/<feed>/<target>/
        current.json                      {"version", "promoted_at", "previous"}; replaced atomically
        challenger.json                   the same of a release that answers in the shadow; only while there is one
        <NNNN>-<config_hash[:8]>/         written beside its place, synced, renamed in; never changed afterwards
            model.onnx [sequence.onnx] manifest.json SHA256SUMS

This module is the only writer and reader of that folder. A release is data, not code: ONNX and JSON, no pickle.
The server imports this module: numpy, msgspec and the standard library only.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from aerocast import durable
from aerocast.errors import AeroCastError
from aerocast.home import Home
from aerocast.manifest import Manifest

FOLDER = "releases"
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
POINTER = "current.json"
CHALLENGER = "challenger.json"
_VERSION = re.compile(r"^(\d{4,})-([0-9a-f]{8})$")
_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_FILE = re.compile(r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")

Stamp = durable.Stamp


class Current(msgspec.Struct, frozen=True):
    """The pointer: which version serves (or challenges) since when, and which one did before it."""

    version: str
    promoted_at: datetime
    previous: str | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A verified release in memory: `files` are the very bytes whose checksums held."""

    manifest: Manifest
    files: dict[str, bytes]

    @property
    def version(self) -> str:
        return self.manifest.version


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the history: the manifest, or the sentence that says why it cannot be read."""

    version: str
    manifest: Manifest | None
    error: str | None = None


def write(home: Home, manifest: Manifest, files: Mapping[str, bytes]) -> str:
    """Write a release and return its version; `manifest.version` and the graphs' sha256 are filled in here.

    The same `config_hash` again returns the version that exists (a killed run is repeated), unless it is damaged.

    Raises:
        AeroCastError: the manifest does not fit the files or JSON, or the disk refuses; nothing is visible then.
    """
    place = folder(home, manifest.feed.name, manifest.target)
    _check(manifest, files)
    with durable.locked(place, f"release of {manifest.feed.name}/{manifest.target}"):
        _clean(place)
        existing = _same(home, manifest)
        if existing:
            return existing
        number = max((_number(version) for version in _versions(place)), default=0) + 1
        version = f"{number:04d}-{manifest.lineage.config_hash[:8]}"
        staging = place / f".new-{version}"
        try:
            _fill(staging, manifest.stamped(version, {name: _sha(data) for name, data in files.items()}), files)
            os.rename(staging, place / version)
        except OSError:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        durable.sync_folder(place)
    return version


def promote(home: Home, feed: str, target: str, version: str) -> Current:
    """Let `version` serve from now on; no release challenges it then. A second call changes nothing.

    Raises:
        AeroCastError: there is no such release, it is damaged, or the disk refuses; the old one serves on then.
    """
    load(home, feed, target, version)
    place = folder(home, feed, target)
    with durable.locked(place, f"{POINTER} of {feed}/{target}"):
        now = _pointer(place)
        if now and now.version == version:
            return now
        # First, so that a release never challenges itself, not even after a kill in between.
        _drop_challenger(place)
        pointer = Current(version, datetime.now(UTC), now.version if now else None)
        durable.replace_file(place / POINTER, msgspec.json.encode(pointer))
    return pointer


def challenge(home: Home, feed: str, target: str, version: str | None) -> Current | None:
    """Let `version` answer in the shadow of the one that serves, until a promotion; None: nothing does any more.

    A second call with the same version changes nothing.

    Raises:
        AeroCastError: no such release, a damaged one, the one that serves itself, or the disk refuses.
    """
    place = folder(home, feed, target)
    if version is None:
        with durable.locked(place, f"{CHALLENGER} of {feed}/{target}"):
            _drop_challenger(place)
        return None
    load(home, feed, target, version)
    with durable.locked(place, f"{CHALLENGER} of {feed}/{target}"):
        now, serves = _pointer(place, CHALLENGER), _pointer(place)
        if serves is None or serves.version == version:
            raise AeroCastError(f"release {version} of {feed}/{target} cannot challenge: no other one serves")
        if now and now.version == version:
            return now
        pointer = Current(version, datetime.now(UTC), now.version if now else None)
        durable.replace_file(place / CHALLENGER, msgspec.json.encode(pointer))
    return pointer


def current(home: Home, feed: str, target: str) -> Current | None:
    """The pointer, or None where nothing was promoted yet. Raises AeroCastError when it cannot be read."""
    return _pointer(folder(home, feed, target))


def challenger(home: Home, feed: str, target: str) -> Current | None:
    """The release that answers in the shadow, or None. Raises AeroCastError when its pointer cannot be read."""
    return _pointer(folder(home, feed, target), CHALLENGER)


def challenger_stamp(home: Home, feed: str, target: str) -> Stamp | None:
    """Changes whenever the challenger does; None without one. One stat. Raises OSError for an unreadable folder."""
    return durable.stamp(folder(home, feed, target) / CHALLENGER)


def load(home: Home, feed: str, target: str, version: str) -> Release:
    """The release with every file read once and verified against its checksum.

    Raises:
        AeroCastError: no such version, a missing or changed file, a manifest of an unknown form.
    """
    place = _release(home, feed, target, version)
    sums = _sums(place)
    manifest = _manifest(place, sums)
    files = {graph.file: _verified(place, graph.file, sums) for graph in manifest.graphs.all()}
    for graph in manifest.graphs.all():
        if sums[graph.file] != graph.sha256:
            raise AeroCastError(f"release {place} is damaged: {MANIFEST} and {SUMS} disagree on {graph.file}")
    return Release(manifest, files)


def history(home: Home, feed: str, target: str, limit: int | None = None) -> list[Entry]:
    """Releases, newest first, with their manifests; a damaged one is listed with its error."""
    entries = []
    for version in reversed(versions(home, feed, target)[-limit:] if limit else versions(home, feed, target)):
        place = _release(home, feed, target, version)
        try:
            entries.append(Entry(version, _manifest(place, _sums(place))))
        except AeroCastError as error:
            entries.append(Entry(version, None, str(error)))
    return entries


def versions(home: Home, feed: str, target: str) -> list[str]:
    """All complete releases, oldest first."""
    return _versions(folder(home, feed, target))


def discover(home: Home) -> Iterator[tuple[str, str, Stamp]]:
    """(feed, target, stamp of current.json) of everything promoted; the stamp changes with each promotion.

    Cheap enough for a poll: one listing a feed and one stat a target, no file is opened. A feed that cannot be read
    does not hide the others. Raises OSError when there is a `releases` folder that cannot be listed.
    """
    root = Path(home) / FOLDER
    for feed in _listing(root) if root.exists() else ():
        for target, stamp in _pointers(root / feed):
            yield feed, target, stamp


def _pointers(place: Path) -> list[tuple[str, Stamp]]:
    """The targets of one feed that have a pointer, as far as they can be read."""
    found = []
    with suppress(OSError):
        for target in _listing(place):
            with suppress(OSError):
                if stamp := durable.stamp(place / target / POINTER):
                    found.append((target, stamp))
    return found


def _drop_challenger(place: Path) -> None:
    with suppress(FileNotFoundError):
        os.unlink(place / CHALLENGER)
        durable.sync_folder(place)


def folder(home: Home, feed: str, target: str) -> Path:
    """Where a (feed, target) keeps its releases. Raises AeroCastError for a name that is none."""
    for name in (feed, target):
        if not _NAME.match(name):
            raise AeroCastError(f"{name!r} is no name of a feed or target: lower case, digits and underscores")
    return Path(home) / FOLDER / feed / target


def _listing(path: Path) -> list[str]:
    return sorted(name for name in os.listdir(path) if _NAME.match(name))


def _versions(place: Path) -> list[str]:
    try:
        found = [name for name in os.listdir(place) if _VERSION.match(name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda name: (_number(name), name))


def _number(version: str) -> int:
    return int(version.split("-")[0])


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """What `load` would refuse is refused before it is written."""
    named = [graph.file for graph in manifest.graphs.all()]
    if sorted(named) != sorted(files):
        raise AeroCastError(f"release: the manifest names {sorted(named)}, the files given are {sorted(files)}")
    for name in named:
        if not _FILE.match(name) or name in (MANIFEST, SUMS):
            raise AeroCastError(f"release: {name!r} is no file name for a graph")
    if not re.match(r"^[0-9a-f]{8,}$", manifest.lineage.config_hash):
        raise AeroCastError(f"release: config_hash {manifest.lineage.config_hash!r} must be hexadecimal, 8 or more")
    try:
        msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest)
    except msgspec.ValidationError as error:  # NaN and infinity have no JSON: they come back as null
        raise AeroCastError(f"release: the manifest does not survive JSON: {error}") from error


def _clean(place: Path) -> None:
    """Only the holder of the lock writes here, so whatever is half written belongs to the dead."""
    for name in os.listdir(place):
        if name.startswith(".new-"):
            shutil.rmtree(place / name)


def _same(home: Home, manifest: Manifest) -> str | None:
    """The newest sound release of the same config_hash."""
    config_hash, feed, target = manifest.lineage.config_hash, manifest.feed.name, manifest.target
    for version in reversed(versions(home, feed, target)):
        if version.endswith(f"-{config_hash[:8]}"):
            try:
                if load(home, feed, target, version).manifest.lineage.config_hash == config_hash:
                    return version
            except AeroCastError:
                continue
    return None


def _fill(staging: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    contents = {**files, MANIFEST: msgspec.json.format(msgspec.json.encode(manifest), indent=1)}
    sums = "".join(f"{_sha(data)}  {name}\n" for name, data in contents.items())
    staging.mkdir()
    for name, data in {**contents, SUMS: sums.encode()}.items():
        durable.write_file(staging / name, data)
    durable.sync_folder(staging)


def _release(home: Home, feed: str, target: str, version: str) -> Path:
    place = folder(home, feed, target) / version
    if not _VERSION.match(version) or not place.is_dir():
        raise AeroCastError(f"there is no release {version!r} of {feed}/{target}")
    return place


def _sums(place: Path) -> dict[str, str]:
    lines = _read(place, SUMS).decode(errors="replace").splitlines()
    pairs = [line.split("  ", 1) for line in lines]
    if not all(len(pair) == 2 for pair in pairs):
        raise AeroCastError(f"release {place} is damaged: {SUMS} has a line that is not 'sha256  file'")
    return {name: digest for digest, name in pairs}


def _manifest(place: Path, sums: Mapping[str, str]) -> Manifest:
    try:
        manifest = msgspec.json.decode(_verified(place, MANIFEST, sums), type=Manifest)
    except msgspec.DecodeError as error:
        raise AeroCastError(f"release {place} has a manifest of an unknown form: {error}") from error
    if manifest.version != place.name:
        raise AeroCastError(f"release {place} is damaged: its manifest is that of {manifest.version!r}")
    return manifest


def _verified(place: Path, name: str, sums: Mapping[str, str]) -> bytes:
    if name not in sums or not _FILE.match(name):
        raise AeroCastError(f"release {place} is damaged: {SUMS} does not list {name}")
    data = _read(place, name)
    if _sha(data) != sums[name]:
        raise AeroCastError(f"release {place} is damaged: the sha256 of {name} is not the one in {SUMS}")
    return data


def _read(place: Path, name: str) -> bytes:
    try:
        return (place / name).read_bytes()
    except OSError as error:
        raise AeroCastError(f"release {place} is damaged: {name} cannot be read: {error.strerror}") from error


def _pointer(place: Path, name: str = POINTER) -> Current | None:
    try:
        return msgspec.json.decode((place / name).read_bytes(), type=Current)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AeroCastError(f"{place / name} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise AeroCastError(f"{place / name} is damaged: {error}") from error
