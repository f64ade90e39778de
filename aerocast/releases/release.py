"""Releases: the immutable bundle of a champion that the server loads, and the pointer to the one that serves.

    <home>/releases/<feed>/<target>/
        current.json                      {"version", "promoted_at", "previous", "hold"}; replaced atomically
        challenger.json                   the same of a release that answers in the shadow; only while there is one
        <NNNN>-<config_hash[:8]>/         complete or invisible; never changed afterwards
            model.onnx [sequence.onnx] manifest.json SHA256SUMS

In an object store the two pointers lie in `promoted/<feed>/<target>/` (see `aerocast.releases.shelves`).
This module is the only writer and reader of releases. A release is data, not code: ONNX and JSON, no pickle.
The server imports this module: numpy, msgspec and the standard library only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.contracts.manifest import FORMAT, Manifest
from aerocast.contracts.pointer import Current, Hold, HoldError
from aerocast.releases import shelves
from aerocast.releases.shelves import VERSION, Shelf, shelf
from aerocast.storage.atomic import Stamp
from aerocast.storage.documents import Document, decode
from aerocast.storage.home import Home, store_of

FOLDER = shelves.FOLDER
MANIFEST = "manifest.json"
SUMS = shelves.LAST
POINTER = "current.json"
CHALLENGER = "challenger.json"
_FILE = re.compile(r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")


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
    _check(manifest, files)
    place = shelf(home, manifest.feed.name, manifest.target)
    with place.writing(f"release of {manifest.feed.name}/{manifest.target}"):
        number = 0
        while (existing := _same(home, manifest)) is None:
            number = max(number, *map(_number, place.versions()), 0) + 1
            version = f"{number:04d}-{manifest.lineage.config_hash[:8]}"
            if place.add(number, version, _contents(manifest, version, files)):
                return version
    return existing


def promote(home: Home, feed: str, target: str, version: str, hold: Hold | None = None) -> Current:
    """Let `version` serve from now on; no release challenges it then. A second call changes nothing.

    With a `hold` it is a person's choice, which stands until that ends; the one that serves may be held, too.

    Raises:
        HoldError: a person holds the one that serves, and this is nobody's choice but the loop's.
        AeroCastError: there is no such release, it is damaged, or the disk refuses; the old one serves on then.
    """
    load(home, feed, target, version)
    document = _pointer(home, feed, target, POINTER)
    while True:
        now, seen = document.read_stamped()
        serves = now is not None and now.version == version
        active = now.active_hold if now else None
        if now and serves and (hold is None or (active and active.until == hold.until)):
            return now
        if hold is None and active:
            raise HoldError(f"release {version} of {feed}/{target} cannot replace the champion: {active}")
        if now and serves:
            pointer = msgspec.structs.replace(now, hold=hold)
        else:
            # First, so that a release never challenges itself, not even after a kill in between.
            _pointer(home, feed, target, CHALLENGER).remove()
            pointer = Current(version, datetime.now(UTC), now.version if now else None, hold)
        if document.swap(pointer, seen):
            break
    _stop_challenging_itself(home, feed, target)
    return pointer


def lift(home: Home, feed: str, target: str) -> Hold | None:
    """Ends a person's hold; returns what was lifted, None where nothing was. Raises AeroCastError as `promote`."""
    document = _pointer(home, feed, target, POINTER)
    while True:
        now, seen = document.read_stamped()
        if now is None or now.hold is None:
            return None
        if document.swap(msgspec.structs.replace(now, hold=None), seen):
            return now.active_hold


def challenge(home: Home, feed: str, target: str, version: str | None) -> Current | None:
    """Let `version` answer in the shadow of the one that serves, until a promotion; None: nothing does any more.

    A second call with the same version changes nothing.

    Raises:
        AeroCastError: no such release, a damaged one, the one that serves itself, or the disk refuses.
    """
    if version is None:
        _pointer(home, feed, target, CHALLENGER).remove()
        return None
    load(home, feed, target, version)
    document = _pointer(home, feed, target, CHALLENGER)
    while True:
        now, seen = document.read_stamped()
        serves = current(home, feed, target)
        if serves is None or serves.version == version:
            raise AeroCastError(f"release {version} of {feed}/{target} cannot challenge: no other one serves")
        if now and now.version == version:
            return now
        pointer = Current(version, datetime.now(UTC), now.version if now else None)
        if document.swap(pointer, seen):
            break
    _stop_challenging_itself(home, feed, target)
    return pointer


def current(home: Home, feed: str, target: str) -> Current | None:
    """The pointer, or None where nothing was promoted yet. Raises AeroCastError when it cannot be read."""
    return _pointer(home, feed, target, POINTER).read()


def challenger(home: Home, feed: str, target: str) -> Current | None:
    """The release that answers in the shadow, or None. Raises AeroCastError when its pointer cannot be read."""
    return _pointer(home, feed, target, CHALLENGER).read()


def challenger_stamp(home: Home, feed: str, target: str) -> Stamp | None:
    """Changes whenever the challenger does; None without one. Costs and raises what `store.stamp` does."""
    return _pointer(home, feed, target, CHALLENGER).stamp()


def load(home: Home, feed: str, target: str, version: str) -> Release:
    """The release with every file read once and verified against its checksum.

    Raises:
        AeroCastError: no such version, a missing or changed file, a manifest of an unknown form.
    """
    place = _bundle(home, feed, target, version)
    sums = _sums(place)
    manifest = _manifest(place, sums)
    files = {graph.file: _verified(place, graph.file, sums) for graph in manifest.graphs.all()}
    for graph in manifest.graphs.all():
        if sums[graph.file] != graph.sha256:
            raise AeroCastError(f"release {place} is damaged: {MANIFEST} and {SUMS} disagree on {graph.file}")
    return Release(manifest, files)


def history(home: Home, feed: str, target: str, limit: int | None = None) -> list[Entry]:
    """Releases, newest first, with their manifests; a damaged one is listed with its error.

    Of an object store a sound manifest is read once a process: a release never changes, and each costs three requests.
    """
    entries = []
    described = _described if store_of(home).local else _remembered
    for version in reversed(versions(home, feed, target)[-limit:] if limit else versions(home, feed, target)):
        try:
            entries.append(Entry(version, described(home, feed, target, version)))
        except AeroCastError as error:
            entries.append(Entry(version, None, str(error)))
    return entries


def versions(home: Home, feed: str, target: str) -> list[str]:
    """All complete releases, oldest first."""
    return sorted(shelf(home, feed, target).versions(), key=lambda name: (_number(name), name))


def remove(home: Home, feed: str, target: str, version: str) -> None:
    """Takes a release away for good; whoever calls knows that no pointer names it.

    Raises:
        AeroCastError: the disk refuses.
    """
    place = shelf(home, feed, target)
    with place.writing(f"release {version} of {feed}/{target}"):
        place.remove(version)


def discover(home: Home, left_out: dict[str, str] | None = None) -> Iterator[tuple[str, str, Stamp]]:
    """(feed, target, stamp of current.json) of everything promoted; the stamp changes with each promotion.

    Cheap enough for a poll: see `shelves.pointers`, which says what it raises, and what it puts into `left_out`.
    """
    return shelves.pointers(home, POINTER, left_out)


def folder(home: Path, feed: str, target: str) -> Path:
    """Where a (feed, target) keeps its releases in a home that is a folder. Raises AeroCastError for a bad name."""
    return home / Path(shelf(home, feed, target).pointer(POINTER)).parent


@dataclass(frozen=True, slots=True)
class _Bundle:
    """The files of one release, where they lie; as text that place."""

    shelf: Shelf
    version: str

    def __str__(self) -> str:
        return self.shelf.where(self.version)

    def read(self, name: str) -> bytes:
        try:
            return self.shelf.read(self.version, name)
        except OSError as error:
            raise AeroCastError(
                f"release {self} is damaged: {name} cannot be read: {error.strerror or error}"
            ) from error


def _bundle(home: Home, feed: str, target: str, version: str) -> _Bundle:
    place = shelf(home, feed, target)
    if not VERSION.match(version) or not place.has(version):
        raise AeroCastError(f"there is no release {version!r} of {feed}/{target}")
    return _Bundle(place, version)


def _described(home: Home, feed: str, target: str, version: str) -> Manifest:
    place = _bundle(home, feed, target, version)
    return _manifest(place, _sums(place))


_remembered = lru_cache(maxsize=256)(_described)


def _pointer(home: Home, feed: str, target: str, file: str) -> Document[Current]:
    return Document(store_of(home), shelf(home, feed, target).pointer(file), Current, "pointer")


def _stop_challenging_itself(home: Home, feed: str, target: str) -> None:
    """A promotion and a challenge at once: whichever ends last sees both pointers."""
    named, serves = challenger(home, feed, target), current(home, feed, target)
    if named and serves and named.version == serves.version:
        _pointer(home, feed, target, CHALLENGER).remove()


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


def _contents(manifest: Manifest, version: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a release in the order of their writing: the checksums last."""
    stamped = manifest.stamped(version, {name: _sha(data) for name, data in files.items()})
    contents = {**files, MANIFEST: msgspec.json.format(msgspec.json.encode(stamped), indent=1)}
    sums = "".join(f"{_sha(data)}  {name}\n" for name, data in contents.items())
    return {**contents, SUMS: sums.encode()}


def _sums(place: _Bundle) -> dict[str, str]:
    lines = place.read(SUMS).decode(errors="replace").splitlines()
    pairs = [line.split("  ", 1) for line in lines]
    if not all(len(pair) == 2 for pair in pairs):
        raise AeroCastError(f"release {place} is damaged: {SUMS} has a line that is not 'sha256  file'")
    return {name: digest for digest, name in pairs}


def _manifest(place: _Bundle, sums: Mapping[str, str]) -> Manifest:
    data = _verified(place, MANIFEST, sums)
    _check_format(place, data)
    manifest = decode(data, Manifest, f"the manifest of release {place}")
    if manifest.version != place.version:
        raise AeroCastError(f"release {place} is damaged: its manifest is that of {manifest.version!r}")
    return manifest


class _Format(msgspec.Struct):
    """Of a manifest that says nothing else that is certain."""

    format: int = FORMAT


def _check_format(place: _Bundle, data: bytes) -> None:
    with suppress(msgspec.DecodeError):  # what is no manifest at all is told by whoever decodes all of it
        if (number := msgspec.json.decode(data, type=_Format).format) > FORMAT:
            newest = f"this version of AeroCast reads formats up to {FORMAT}; update it, or roll back"
            raise AeroCastError(f"release {place} is of format {number}: {newest}")


def _verified(place: _Bundle, name: str, sums: Mapping[str, str]) -> bytes:
    if name not in sums or not _FILE.match(name):
        raise AeroCastError(f"release {place} is damaged: {SUMS} does not list {name}")
    data = place.read(name)
    if _sha(data) != sums[name]:
        raise AeroCastError(f"release {place} is damaged: the sha256 of {name} is not the one in {SUMS}")
    return data
