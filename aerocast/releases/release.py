"""Writes, loads and promotes releases: immutable bundles of a champion, and the pointer to the one that serves.

    <home>/releases/<feed>/<target>/
        current.json                      {"version", "promoted_at", "previous", "hold"}; replaced atomically
        challenger.json                   the same of a release that answers in the shadow; only while there is one
        <NNNN>-<config_hash[:8]>/         complete or invisible; never changed afterwards
            model.onnx [sequence.onnx trial.onnx] manifest.json SHA256SUMS

In an object store the two pointers lie in `promoted/<feed>/<target>/` (see `aerocast.releases.storage`).
This module is the only writer and reader of releases. A release is data, not code: ONNX and JSON, no pickle.
The server imports this module: numpy, msgspec and the standard library only.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.contracts.manifest import Manifest
from aerocast.contracts.pointer import Current, Hold, HoldError
from aerocast.releases import contents, storage
from aerocast.releases.storage import VERSION, bundle_storage
from aerocast.storage.atomic import Stamp
from aerocast.storage.documents import Document
from aerocast.storage.home import Home, store_of

FOLDER = storage.FOLDER
POINTER = "current.json"
CHALLENGER = "challenger.json"


@dataclass(frozen=True, slots=True)
class Release:
    """A verified release in memory: `files` are the very bytes whose checksums held."""

    manifest: Manifest
    files: dict[str, bytes]

    @property
    def version(self) -> str:
        return self.manifest.version


@dataclass(frozen=True)
class ServingRelease:
    """The pointer of a target, its release, and a person's hold on it; `note` says why a release does not count."""

    pointer: Current | None
    release: Release | None
    note: str

    @property
    def hold(self) -> Hold | None:
        return self.pointer.active_hold if self.pointer else None

    def verdict(self, version: str) -> str:
        """The name of a trial of this version: what was refused only because of a hold is tried again after it."""
        return f"{version}@{self.hold.since.isoformat()}" if self.hold else version


@dataclass(frozen=True, slots=True)
class HistoryEntry:
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
    contents.validate(manifest, files)
    bundles = bundle_storage(home, manifest.feed.name, manifest.target)
    with bundles.writer(f"release of {manifest.feed.name}/{manifest.target}"):
        number = 0
        while (same := _version_of_hash(home, manifest)) is None:
            number = max(number, *map(_number, bundles.versions()), 0) + 1
            version = f"{number:04d}-{manifest.lineage.config_hash[:8]}"
            if bundles.add(number, version, contents.bundle_contents(manifest, version, files)):
                return version
    return same


def promote(home: Home, feed: str, target: str, version: str, hold: Hold | None = None) -> Current:
    """Lets `version` serve from now on, without a challenger. A second call changes nothing.

    With a `hold` it is a person's choice, which stands until that ends; the one that serves may be held, too.

    Raises:
        HoldError: a person holds the one that serves, and this choice is the loop's.
        AeroCastError: there is no such release, it is damaged, or the disk refuses; the old one serves on then.
    """
    load(home, feed, target, version)
    document = _pointer(home, feed, target, POINTER)
    while True:
        now, stamp = document.read_stamped()
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
        if document.swap(pointer, stamp):
            break
    _stop_challenging_itself(home, feed, target)
    return pointer


def lift(home: Home, feed: str, target: str) -> Hold | None:
    """Ends a person's hold and returns it; None if there was none. Raises AeroCastError as `promote`."""
    document = _pointer(home, feed, target, POINTER)
    while True:
        now, stamp = document.read_stamped()
        if now is None or now.hold is None:
            return None
        if document.swap(msgspec.structs.replace(now, hold=None), stamp):
            return now.active_hold


def challenge(home: Home, feed: str, target: str, version: str | None) -> Current | None:
    """Lets `version` answer in the shadow of the one that serves, until a promotion; with None nothing does any more.

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
        now, stamp = document.read_stamped()
        serves = current(home, feed, target)
        if serves is None or serves.version == version:
            raise AeroCastError(f"release {version} of {feed}/{target} cannot challenge: no other one serves")
        if now and now.version == version:
            return now
        pointer = Current(version, datetime.now(UTC), now.version if now else None)
        if document.swap(pointer, stamp):
            break
    _stop_challenging_itself(home, feed, target)
    return pointer


def mend_pointers(home: Home, feed: str, target: str, promoted: Callable[[], str | None]) -> list[str]:
    """Replaces damaged pointers, that to the champion by `promoted()`, if it is sound; what was wrong with each.

    Raises:
        AeroCastError: the disk refuses.
    """

    def champion() -> Current | None:
        version = promoted()
        return Current(version, datetime.now(UTC)) if version and version in versions(home, feed, target) else None

    return [
        _pointer(home, feed, target, POINTER).mend(champion),
        _pointer(home, feed, target, CHALLENGER).mend(),
    ]


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
    bundle = _bundle(home, feed, target, version)
    sums = contents.read_sums(bundle)
    manifest = contents.read_manifest(bundle, sums)
    files = {graph.file: contents.read_verified(bundle, graph.file, sums) for graph in manifest.graphs.all()}
    if (manifest.feed.name, manifest.target) != (feed, target):
        raise AeroCastError(
            f"release {bundle} is not of {feed}/{target}, but of {manifest.feed.name}/{manifest.target}"
        )
    for graph in manifest.graphs.all():
        contents.check_graph(graph.file, files[graph.file])
        if sums[graph.file] != graph.sha256:
            raise AeroCastError(
                f"release {bundle} is damaged: {contents.MANIFEST} and {contents.SUMS} disagree on {graph.file}"
            )
    return Release(manifest, files)


def serving_release(home: Home, feed: str, target: str) -> ServingRelease:
    """The release that serves now; one that cannot be read, such as one of a newer format, does not count."""
    pointer = current(home, feed, target)
    try:
        return ServingRelease(pointer, load(home, feed, target, pointer.version) if pointer else None, "")
    except AeroCastError as error:
        assert pointer
        return ServingRelease(pointer, None, f" The incumbent {pointer.version} does not count: {error}.")


def history(home: Home, feed: str, target: str, limit: int | None = None) -> list[HistoryEntry]:
    """Releases, newest first, with their manifests; a damaged one is listed with its error.

    A sound manifest is read once a process, in a folder again when one of its files has changed: who asks for a long
    history again and again costs others nothing.
    """
    entries = []
    for version in reversed(versions(home, feed, target)[-limit:] if limit else versions(home, feed, target)):
        try:
            stamps = _stamps(home, feed, target, version)
            entries.append(HistoryEntry(version, _cached_manifest(home, feed, target, version, stamps)))
        except AeroCastError as error:
            entries.append(HistoryEntry(version, None, str(error)))
    return entries


def versions(home: Home, feed: str, target: str) -> list[str]:
    """All complete releases, oldest first."""
    return sorted(bundle_storage(home, feed, target).versions(), key=lambda name: (_number(name), name))


def remove(home: Home, feed: str, target: str, version: str) -> None:
    """Deletes a release; the caller makes sure that no pointer names it.

    Raises:
        AeroCastError: the disk refuses.
    """
    bundles = bundle_storage(home, feed, target)
    with bundles.writer(f"release {version} of {feed}/{target}"):
        bundles.remove(version)


def discover(home: Home, errors: dict[str, str] | None = None) -> Iterator[tuple[str, str, Stamp]]:
    """(feed, target, stamp of current.json) of everything promoted; the stamp changes with each promotion.

    Cheap enough for a poll: see `storage.pointers`, which says what it raises, and what it puts into `errors`.
    """
    return storage.pointers(home, POINTER, errors)


def folder(home: Path, feed: str, target: str) -> Path:
    """The folder of a (feed, target)'s releases in a home on disk. Raises AeroCastError for a bad name."""
    return home / Path(bundle_storage(home, feed, target).pointer(POINTER)).parent


def _bundle(home: Home, feed: str, target: str, version: str) -> contents.Bundle:
    bundles = bundle_storage(home, feed, target)
    if not VERSION.match(version) or not bundles.has(version):
        raise AeroCastError(f"there is no release {version!r} of {feed}/{target}")
    return contents.Bundle(bundles, version)


def _read_manifest(home: Home, feed: str, target: str, version: str) -> Manifest:
    bundle = _bundle(home, feed, target, version)
    return contents.read_manifest(bundle, contents.read_sums(bundle))


@lru_cache(maxsize=512)
def _cached_manifest(home: Home, feed: str, target: str, version: str, _: Sequence[Stamp | None]) -> Manifest:
    return _read_manifest(home, feed, target, version)


def _stamps(home: Home, feed: str, target: str, version: str) -> tuple[Stamp | None, ...]:
    """What changes with a release in a folder; in an object store, whose releases nobody changes, nothing."""
    store, place = store_of(home), f"{storage.FOLDER}/{feed}/{target}/{version}"
    names = (contents.MANIFEST, contents.SUMS, contents.SIGNATURE) if store.local else ()
    return tuple(store.stamp(f"{place}/{name}") for name in names)


def _pointer(home: Home, feed: str, target: str, file: str) -> Document[Current]:
    return Document(store_of(home), bundle_storage(home, feed, target).pointer(file), Current, "pointer")


def _stop_challenging_itself(home: Home, feed: str, target: str) -> None:
    """Clears the challenger that a promotion at the same time made the champion: the later call sees both pointers."""
    rival, champion = challenger(home, feed, target), current(home, feed, target)
    if rival and champion and rival.version == champion.version:
        _pointer(home, feed, target, CHALLENGER).remove()


def _number(version: str) -> int:
    return int(version.split("-")[0])


def _version_of_hash(home: Home, manifest: Manifest) -> str | None:
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
