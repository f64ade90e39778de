"""Validates the files of one release before they are written, and verifies them when they are read.

The server imports this module: msgspec and the standard library only.
"""

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.contracts.manifest import FORMAT, Manifest
from aerocast.releases import storage
from aerocast.releases.storage import BundleStorage
from aerocast.storage.documents import decode

MANIFEST = "manifest.json"
SUMS = storage.LAST_FILE
SIGNATURE = "SHA256SUMS.hmac"
KEY = "AEROCAST_RELEASE_KEY"  # a secret of the platform and the server, read where it is used, like the store's own
LEAST_KEY = 16  # characters
_FILE = re.compile(r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
# A node's operator in ONNX's bytes (field 4 of NodeProto, its length, its name): those that repeat a graph for as long
# as their inputs say. Numbers may be written with more bytes than they need.
_REPEATING = re.compile(rb'(?:"|\xa2\x80*\0)(?:(?:\x04|\x84\x80*\0)(?:Loop|Scan)|(?:\x0b|\x8b\x80*\0)SequenceMap)')


@dataclass(frozen=True, slots=True)
class Bundle:
    """The files of one release in its storage; as text their location."""

    storage: BundleStorage
    version: str

    def __str__(self) -> str:
        return self.storage.location(self.version)

    def read(self, name: str) -> bytes:
        try:
            return self.storage.read(self.version, name)
        except OSError as error:
            raise AeroCastError(
                f"release {self} is damaged: {name} cannot be read: {error.strerror or error}"
            ) from error


def validate(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Refuses what `load` would refuse, before it is written."""
    names = [graph.file for graph in manifest.graphs.all()]
    if sorted(names) != sorted(files):
        raise AeroCastError(f"release: the manifest names {sorted(names)}, the files given are {sorted(files)}")
    for name in names:
        check_graph(name, files[name])
        if not _FILE.match(name) or name in (MANIFEST, SUMS):
            raise AeroCastError(f"release: {name!r} is not a valid file name for a graph")
    if not re.match(r"^[0-9a-f]{8,}$", manifest.lineage.config_hash):
        raise AeroCastError(f"release: config_hash {manifest.lineage.config_hash!r} must be hexadecimal, 8 or more")
    try:
        msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest)
    except msgspec.ValidationError as error:  # NaN and infinity have no JSON: they come back as null
        raise AeroCastError(f"release: the manifest does not survive JSON: {error}") from error


def check_graph(name: str, data: bytes) -> None:
    """Raises AeroCastError for a graph that may take any time for an answer."""
    if operator := _REPEATING.search(data):
        kind = re.sub(rb"[^A-Za-z]", b"", operator[0]).decode()
        raise AeroCastError(f"release: {name} has the operator {kind}, which may never end; no graph may have it")


def bundle_contents(manifest: Manifest, version: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a release in the order in which they are written: the checksums last, signed if there is a key."""
    final = manifest.stamped(version, {name: _sha(data) for name, data in files.items()})
    contents = {**files, MANIFEST: msgspec.json.format(msgspec.json.encode(final), indent=1)}
    sums = "".join(f"{_sha(data)}  {name}\n" for name, data in contents.items()).encode()
    signature = _signature(sums)
    return contents | ({SIGNATURE: signature} if signature else {}) | {SUMS: sums}


def _signature(sums: bytes) -> bytes:
    """HMAC-SHA256 of the checksums, in hexadecimal; empty without a key."""
    key = os.environ.get(KEY, "")
    if key and len(key) < LEAST_KEY:
        raise AeroCastError(f"{KEY} has {len(key)} characters; it must have at least {LEAST_KEY}")
    return hmac.digest(key.encode(), sums, "sha256").hex().encode() if key else b""


def read_sums(bundle: Bundle) -> dict[str, str]:
    """The checksums by file. Raises AeroCastError if they are damaged, or not signed with the key that is set."""
    sums = bundle.read(SUMS)
    if (signature := _signature(sums)) and not hmac.compare_digest(signature, _stored_signature(bundle)):
        raise AeroCastError(f"release {bundle} is not signed with the key in {KEY}")
    lines = sums.decode(errors="replace").splitlines()
    pairs = [line.split("  ", 1) for line in lines]
    if not all(len(pair) == 2 for pair in pairs):
        raise AeroCastError(f"release {bundle} is damaged: {SUMS} has a line that is not 'sha256  file'")
    return {name: digest for digest, name in pairs}


def _stored_signature(bundle: Bundle) -> bytes:
    try:
        return bundle.read(SIGNATURE)
    except AeroCastError:
        return b""


def read_manifest(bundle: Bundle, sums: Mapping[str, str]) -> Manifest:
    data = read_verified(bundle, MANIFEST, sums)
    with suppress(msgspec.DecodeError):  # decoding the whole manifest reports what is no manifest at all
        if (number := msgspec.json.decode(data, type=_Format).format) > FORMAT:
            newest = f"this version of AeroCast reads formats up to {FORMAT}; update it, or roll back"
            raise AeroCastError(f"release {bundle} is of format {number}: {newest}")
    manifest = decode(data, Manifest, f"the manifest of release {bundle}")
    if manifest.version != bundle.version:
        raise AeroCastError(f"release {bundle} is damaged: its manifest is that of {manifest.version!r}")
    return manifest


def read_verified(bundle: Bundle, name: str, sums: Mapping[str, str]) -> bytes:
    if name not in sums or not _FILE.match(name):
        raise AeroCastError(f"release {bundle} is damaged: {SUMS} does not list {name}")
    data = bundle.read(name)
    if _sha(data) != sums[name]:
        raise AeroCastError(f"release {bundle} is damaged: the sha256 of {name} is not the one in {SUMS}")
    return data


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class _Format(msgspec.Struct):
    """The one field that every format of the manifest has."""

    format: int = FORMAT
