"""Thrift's compact protocol, read into plain lists and written back: for Parquet footers and page headers that lie.

A struct is a list of `Field`, a list is an `Items`; integers, bytes and doubles (8 bytes) stay what they are.
"""

from dataclasses import dataclass, field
from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
INTEGERS = (I16, I32, I64)


@dataclass
class Field:
    """One field of a struct."""

    id: int
    type: int
    value: Any = None


@dataclass
class Items:
    """A list; `size` replaces the true length where it is written."""

    type: int
    values: list[Any] = field(default_factory=list)
    size: int | None = None


class Reader:
    """Reads one struct after the other; `position` is where it is."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data, self.position = data, position

    def struct(self) -> list[Field]:
        fields, number = list[Field](), 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else _unzigzag(self._varint())
            fields.append(Field(number, head & 15, self._value(head & 15)))
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (TRUE, FALSE):
            return None
        if kind == STRUCT:
            return self.struct()
        if kind in (LIST, SET):
            head = self._byte()
            size = head >> 4 if head >> 4 < 15 else self._varint()
            read = self._byte if head & 15 in (TRUE, FALSE) else lambda: self._value(head & 15)
            return Items(head & 15, [read() for _ in range(size)])
        if kind in INTEGERS:
            return _unzigzag(self._varint())
        return self._bytes({BYTE: 1, DOUBLE: 8}.get(kind) or self._varint())

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _bytes(self, size: int) -> bytes:
        self.position += size
        return self.data[self.position - size : self.position]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


def write(fields: list[Field]) -> bytes:
    """The struct's bytes."""
    parts, last = list[bytes](), 0
    for each in fields:
        step = each.id - last
        short = 0 < step < 16
        parts.append(bytes([(step << 4 if short else 0) | each.type]) + (b"" if short else _varint(_zigzag(each.id))))
        parts.append(_written(each.type, each.value))
        last = each.id
    return b"".join(parts) + b"\0"


def _written(kind: int, value: Any) -> bytes:
    if kind in (TRUE, FALSE):
        return b"" if value is None else bytes([value])
    if kind == STRUCT:
        return write(value)
    if kind in (LIST, SET):
        size = len(value.values) if value.size is None else value.size
        head = bytes([size << 4 | value.type]) if size < 15 else bytes([15 << 4 | value.type]) + _varint(size)
        return head + b"".join(_written(value.type, each) for each in value.values)
    if kind in INTEGERS:
        return _varint(_zigzag(value))
    return value if kind in (BYTE, DOUBLE) else _varint(len(value)) + value


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _zigzag(value: int) -> int:
    return value << 1 ^ value >> 63


def _unzigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)
