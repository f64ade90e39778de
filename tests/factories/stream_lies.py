"""Arrow IPC streams whose metadata lies: honest ones with words of 4 or 8 bytes replaced, and with bytes flipped."""

import io
import random
import struct
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa

ROWS = 50
_WORDS = (0, 1, 24, 26, 100, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
_LONG_WORDS = (0, 1, -1, 7, 100, 1 << 31, 1 << 40, 1 << 60, (1 << 63) - 1, -(1 << 63))


def honest_streams() -> list[bytes]:
    """Readings as clients send them, in two batches: plain, as dictionaries, views, nested, and compressed."""
    readings: dict[str, Any] = {
        "place": pa.array(["A"] * ROWS),
        "at": pa.array(["2024-01-01T00:00:00Z"] * ROWS),
        "t": pa.array([1.5] * ROWS),
        "w": pa.array([None if number % 3 else 2 for number in range(ROWS)]),
        "p": pa.array([Decimal(number) for number in range(ROWS)]),
    }
    others: list[dict[str, Any]] = [
        {},
        {"place": readings["place"].dictionary_encode(), "t": pa.array(["1.5"] * ROWS).dictionary_encode()},
        {"t": pa.array(["longer than a view has room"] * ROWS, pa.string_view()), "x": pa.array([[{"a": [1]}]] * ROWS)},
        {"at": pa.array([0] * ROWS, pa.timestamp("us", "UTC")), "t": pa.array(["1"] * ROWS, pa.large_string())},
    ]
    tables = [pa.table(readings | other) for other in others]
    return [_stream(table, codec) for table in tables for codec in (None, "zstd", "lz4")]


def _stream(table: pa.Table, codec: str | None) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table, max_chunksize=ROWS // 2)
    return sink.getvalue()


def metadata_spans(stream: bytes) -> list[range]:
    """The bytes of each message's metadata."""
    spans, position = list[range](), 0
    while size := struct.unpack_from("<i", stream, position + 4)[0]:
        message = pa.ipc.read_message(stream[position:])
        spans.append(range(position + 8, position + 8 + size))
        position += 8 + size + (message.body.size if message.body else 0)
    return spans


def lies_of_words(stream: bytes) -> Iterator[bytes]:
    """Each word of the metadata replaced, one after the other."""
    for span in metadata_spans(stream):
        for position in span[::4]:
            for word in _WORDS:
                yield _replaced(stream, "<I", position, word)


def random_lies(seed: int, count: int) -> Iterator[bytes]:
    draw, streams = random.Random(seed), honest_streams()
    spans = [metadata_spans(stream) for stream in streams]
    for _ in range(count):
        number = draw.randrange(len(streams))
        data = streams[number]
        for _ in range(draw.choice([1, 1, 2, 4])):
            span = draw.choice(spans[number])
            match draw.choice("wwwlllba"):
                case "w":
                    data = _replaced(data, "<I", draw.choice(span[::4]), draw.choice(_WORDS))
                case "l":
                    data = _replaced(data, "<q", draw.choice(span[::8]), draw.choice(_LONG_WORDS))
                case "b":
                    data = _replaced(data, "<B", draw.randrange(len(data)), draw.randrange(256))
                case _:
                    data = _replaced(data, "<q", 8 * draw.randrange(len(data) // 8), draw.choice(_LONG_WORDS))
        yield data


def _replaced(data: bytes, form: str, position: int, value: int) -> bytes:
    return data[:position] + struct.pack(form, value) + data[position + struct.calcsize(form) :]
