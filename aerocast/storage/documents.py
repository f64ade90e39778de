"""Reads and writes documents: JSON (or MessagePack) in the home, as typed structs.

The server imports this module: msgspec and the standard library only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.storage import atomic
from aerocast.storage.atomic import Stamp
from aerocast.storage.store import Store

LARGEST = 64 << 20  # bytes of a JSON document
Instant = Annotated[datetime, msgspec.Meta(tz=True)]  # instants with and without an offset do not compare
T = TypeVar("T")


class Damage(AeroCastError):
    """Bytes that are not what they should be, on a disk that answers."""


@dataclass(frozen=True, slots=True)
class Document(Generic[T]):
    """One typed value by its name in a store; `what` says in a word or two what it is; `indent` is for human readers;
    one that is `private` only its owner may read, where the storage knows owners.

    A name that ends in `.msgpack` is MessagePack, for large bytes.

    Every method raises AeroCastError if the storage fails, or the document does not hold such a value.
    """

    store: Store
    name: str
    kind: type[T]
    what: str
    indent: int = 0
    private: bool = False

    def __str__(self) -> str:
        return f"the {self.what} {self.store}/{self.name}"

    def read(self) -> T | None:
        """The value, or None."""
        return self.read_stamped()[0]

    def read_stamped(self) -> tuple[T | None, Stamp | None]:
        """The value with its stamp, for `swap`."""
        stamped = self.store.read_stamped(self.name, atomic.LARGEST if self._packed else LARGEST)
        if stamped is None:
            return None, None
        return decode(stamped[0], self.kind, str(self), packed=self._packed), stamped[1]

    def write(self, value: T) -> None:
        """Replaces the value at once; it is on disk when this returns."""
        self.store.replace(self.name, self._encoded(value), private=self.private)

    def swap(self, value: T, expected: Stamp | None) -> bool:
        """Writes if the stamp is still `expected` (None: there is no value); False if another writer was first."""
        return self.store.swap(self.name, self._encoded(value), expected, private=self.private)

    def mend(self, remake: Callable[[], T | None] = lambda: None) -> str:
        """Replaces a value that is damaged by one made again, or removes it; what was wrong, empty if nothing was."""
        try:
            self.read()
        except Damage as damage:
            value = remake()
            self.remove() if value is None else self.write(value)
            return str(damage)
        except AeroCastError:  # of the storage, and no fault of the value
            pass
        return ""

    def stamp(self) -> Stamp | None:
        """Changes whenever the value is written; None while there is none."""
        return self.store.stamp(self.name)

    def remove(self) -> None:
        self.store.remove(self.name)

    @property
    def _packed(self) -> bool:
        return self.name.endswith(".msgpack")

    def _encoded(self, value: T) -> bytes:
        if self._packed:
            return msgspec.msgpack.encode(value)
        data = msgspec.json.encode(value)
        return msgspec.json.format(data, indent=self.indent) if self.indent else data


def decode(data: bytes, kind: type[T], what: str, *, packed: bool = False) -> T:
    """Decodes a struct. Raises Damage that begins with `what`."""
    try:
        return msgspec.msgpack.decode(data, type=kind) if packed else msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: not UTF-8
        raise Damage(f"{what} cannot be read: {error}") from error
