"""Random requests from one seed: valid ones of every endpoint, with any part changed that a client can change."""

from __future__ import annotations

import gzip
import io
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote_from_bytes

import pyarrow as pa

TOKEN = "the token of the tests"
STEP = "[40.0, 9.0, 1015.0]"
NUMBERS: tuple[str, ...] = (
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "-Infinity",
    "-0",
    "-0.0",
    "0",
    "1",
    "-1",
    "40.5",
    "1e-999",
    "1e308",
)
NUMBERS += ("9" * 400, "-" + "9" * 20, "18446744073709551616", "9007199254740993", "01", "1.", "+1", ".5", "0x1", "1_0")
TEXTS: tuple[str, ...] = (
    "JFK",
    "LGA",
    "XXX",
    "AAA",
    "noaa",
    "small",
    "temperature",
    "2013-12-30T23:00:00Z",
    "2024-01-05T00:00:00Z",
    "",
)
TEXTS += (
    "2024-01-05",
    "2024-02-30T00:00:00Z",
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "2024-01-05T24:00:00+99:99",
)
TEXTS += (
    "\\ud800",
    "\\udfff\\ud800",
    "\\u0000",
    "a\\ud83d",
    "\\ud83d\\ude00",
    "..",
    "../../etc",
    "%00",
    "%s",
    "{0}",
    "A" * 400,
)
KEYS = ("station", "time", "feed", "target", "sequence", "actual", "predicted", "id", "horizon", "force", "t", "w", "p")
JSON, LINES, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
# How often, method, path, and the kinds of its body. Without v1/events, an answer without an end, which would be waited
# for: tests/serving/test_events.py tries its parameters.
ENDPOINTS: tuple[tuple[int, str, str, tuple[str, ...]], ...] = (
    (30, "POST", "predict", (JSON,)),
    (4, "POST", "v1/predict", (JSON,)),
    (4, "POST", "v1/predict/batch", (JSON, JSON, ARROW)),
    (4, "POST", "v1/timeseries/forecast", (JSON,)),
    (8, "POST", "explain", (JSON,)),
    (15, "POST", "eval", (JSON,)),
    (30, "POST", "observations/small", (JSON, JSON, LINES, ARROW)),
    (1, "POST", "observations/none", (JSON,)),
    (5, "POST", "routine-retrain-check", (JSON,)),
    *((2, "GET", path, (JSON,)) for path in ("routine-retrain-check", "health", "feeds", "models", "metrics")),
    *(
        (1, "GET", path, (JSON,))
        for path in (
            "schema",
            "schema/openapi.json",
            "docs",
            "",
            "v1/models",
            "v1/predictions/JFK",
            "v1/predictions/JFK/history",
            "v1/anomalies",
            "v1/readings",
            "v1/loop",
            "v1/quarantine",
            "bundle/page.js",
            "reports/noaa/x/y.png",
        )
    ),
)
KINDS = (JSON, LINES, ARROW, "application/problem+json")
METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
BODIES = (
    '{"station": "JFK"}',
    '{"station": "LGA", "feed": "noaa", "target": "temperature"}',
    '{"sequence": [' + ", ".join([STEP] * 5) + '], "time": "2013-12-30T23:00:00Z"}',
    '{"station": "JFK", "sequence": [' + ", ".join([STEP] * 48) + '], "time": "2013-12-30T23:00:00+01:00"}',
    '{"predicted": 40.5, "actual": 41.0, "feed": "noaa", "target": "temperature", "station": "JFK", "horizon": 1}',
    '{"id": "5a0e7c1b-9d3f-4a64-8000-000000000000", "horizon": 1, "actual": 40.0}',
    '{"force": true}',
    '{"model": "noaa/temperature", "options": {"horizon": 24, "quantiles": [0.1, 0.9]}, "inputs": [{"name": "JFK",'
    ' "series": [40, 41, 42, 43, 44], "frequency": "hour", "type": "univariate_time_series",'
    ' "start_timestamp": "2013-12-30T18:00:00Z"}]}',
    '[{"station": "JFK"}, {"station": "LGA", "feed": "noaa"}, {"sequence": [' + ", ".join([STEP] * 5) + "]}]",
    '{"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": 1.5, "w": "3", "p": null}',
    '[{"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": 1.5}, {"place": "BBB", "at": "2024-01-05", "w": 2}]',
)


@dataclass
class Asked:
    """One request; `chunks` are the parts in which its body is sent."""

    method: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    chunks: list[bytes]


class Fuzzer:
    """Requests by number: the same seed and number give the same request."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        buffer = io.BytesIO()
        columns = {"station": ["AAA", "BBB"], "time": ["2024-01-05T00:00:00Z"] * 2, "t": [1.5, None]}
        table = pa.table(columns)
        with pa.ipc.new_stream(buffer, table.schema) as writer:
            writer.write_table(table)
        self._arrow = buffer.getvalue()

    def request(self, number: int) -> Asked:
        return _Request(random.Random(f"{self.seed} {number}"), self._arrow).made()


class _Request:
    def __init__(self, chance: random.Random, arrow: bytes) -> None:
        self.chance, self.arrow = chance, arrow

    def made(self) -> Asked:
        pick = self.chance.choice
        (_, method, path, kinds), *_ = self.chance.choices(ENDPOINTS, [each[0] for each in ENDPOINTS])
        method = method if self.chance.random() < 0.95 else pick(METHODS)
        kind, body = self._body(pick(kinds) if self.chance.random() < 0.95 else pick(KINDS))
        headers = [(b"host", b"localhost"), (b"content-type", kind), (b"authorization", f"Bearer {TOKEN}".encode())]
        if path.startswith("observations") and self.chance.random() < 0.2:
            encoding = pick((b"gzip", b"deflate", b"x-gzip", b"identity", b"br", self._bytes(8)))
            body = self._bent(self._packed(encoding, body), 0.3)
            headers.append((b"content-encoding", encoding))
        if self.chance.random() < 0.3:
            headers.append((b"idempotency-key", self._bytes(12)))
        if self.chance.random() < 0.08:
            headers = [(name, self._bytes(20) if self.chance.random() < 0.4 else value) for name, value in headers]
        if self.chance.random() < 0.05:
            headers.append((b"content-length", pick((b"0", b"-1", b"9" * 30, b"abc", str(len(body)).encode()))))
        return Asked(method, self._path(path), self._query(), headers, self._chunks(body))

    def _body(self, kind: str) -> tuple[bytes, bytes]:
        """Content type and bytes of the body."""
        if kind.endswith("arrow.stream"):
            return kind.encode(), self._bent(self.arrow, 0.8)
        if kind.endswith("ndjson"):
            lines = [self._json() for _ in range(self.chance.randrange(4))]
            return kind.encode(), b"\n".join(lines)
        return kind.encode(), self._json()

    def _json(self) -> bytes:
        """A valid body with changed values, keys or characters, or random JSON."""
        roll = self.chance.random()
        if roll < 0.15:
            return self._value(4).encode(errors="surrogatepass")
        text = self.chance.choice(BODIES)
        for _ in range(self.chance.randrange(4)):
            text = self._changed(text)
        return self._bent(text.encode(errors="surrogatepass"), 0.15)

    def _changed(self, text: str) -> str:
        """Replace one value or key of a JSON text."""
        places = [at for at, letter in enumerate(text) if letter in ':,["{']
        at = self.chance.choice(places) if places else 0
        end = min([place for place in (text.find(mark, at + 1) for mark in ',]}:"') if place > 0] or [len(text)])
        changes: tuple[Callable[[], str], ...] = (
            lambda: text[: at + 1] + self._value(2) + text[end:],
            lambda: text[: at + 1] + self._value(2) + "," + text[at + 1 :],
            lambda: text[: at + 1] + f"{self._text()}: {self._value(2)}, " + text[at + 1 :],
            lambda: text[: at + 1] + text[end:],
            lambda: text[:at] + text[at:end] * 2 + text[end:],
        )
        return self.chance.choice(changes)()

    def _value(self, depth: int) -> str:
        roll = self.chance.random()
        if roll < 0.35:
            return self.chance.choice(NUMBERS[:6] if roll < 0.15 else NUMBERS)
        if roll < 0.55 or depth == 0:
            return self._text()
        if roll < 0.65:
            return self.chance.choice(("null", "true", "false", "undefined", "", "{}", "[]"))
        if roll < 0.68:
            return self.chance.choice(("[", '{"a":', "[[", "[{}, ")) * self.chance.choice((3, 40, 1100, 30_000))
        inner = [self._value(depth - 1) for _ in range(self.chance.randrange(4))]
        if roll < 0.85:
            return f"[{', '.join(inner)}]"
        return "{" + ", ".join(f"{self._text(key=True)}: {value}" for value in inner) + "}"

    def _text(self, key: bool = False) -> str:
        roll = self.chance.random()
        if roll < 0.5:
            return f'"{self.chance.choice(KEYS if key or roll < 0.1 else TEXTS)}"'
        letters = "".join(self._letter() for _ in range(self.chance.randrange(6)))
        if self.chance.random() < 0.2:
            letters += chr(self.chance.randrange(0xD800, 0xE000))
        if self.chance.random() < 0.7:  # as escapes, by halves above the first plane, now and then with one lost
            halves = letters.encode("utf-16-be", "surrogatepass")
            units = [f"\\u{halves[at : at + 2].hex()}" for at in range(0, len(halves), 2)]
            return '"' + "".join(unit for unit in units if self.chance.random() < 0.9) + '"'
        return f'"{letters}"'

    def _letter(self) -> str:
        """A character of any plane of Unicode, including surrogates and controls."""
        plane = self.chance.choice((0, 0, 0, *range(17)))
        return chr((plane << 16) + self.chance.randrange(1 << 16 if plane else self.chance.choice((128, 1 << 16))))

    def _bytes(self, most: int) -> bytes:
        """Random bytes for a header, without line breaks, which no server accepts."""
        made = self.chance.randbytes(self.chance.randrange(most))
        return made.translate(None, b"\r\n\0") if self.chance.random() < 0.5 else made.hex().encode()

    def _bent(self, data: bytes, share: float) -> bytes:
        """Change, drop or repeat some bytes with this probability."""
        if self.chance.random() > share:
            return data
        bent = bytearray(data)
        for _ in range(self.chance.randrange(1, 5)):
            at = self.chance.randrange(len(bent) + 1)
            roll = self.chance.randrange(5)
            if roll == 0 and bent:
                bent[at % len(bent)] ^= 1 << self.chance.randrange(8)
            elif roll == 1:
                bent[at:at] = self.chance.randbytes(self.chance.randrange(9))
            elif roll == 2:
                del bent[at : at + self.chance.randrange(9)]
            elif roll == 3:
                del bent[at:]
            else:
                bent[at:at] = bent[: self.chance.randrange(64)]
        return bytes(bent)

    def _packed(self, encoding: bytes, body: bytes) -> bytes:
        return gzip.compress(body, 1, mtime=0) if encoding.endswith(b"gzip") else zlib.compress(body, 1)

    def _path(self, path: str) -> bytes:
        """A path of escaped bytes."""
        if self.chance.random() < 0.93:
            return f"/{path}".encode()
        parts = path.split("/")
        parts[self.chance.randrange(len(parts))] = quote_from_bytes(self._any_bytes(), safe="")
        return f"/{'/'.join(parts)}".encode()

    def _any_bytes(self) -> bytes:
        if self.chance.random() < 0.3:
            return self.chance.randbytes(self.chance.randrange(1, 9))
        return "".join(self._letter() for _ in range(self.chance.randrange(1, 5))).encode(errors="surrogatepass")

    def _query(self) -> bytes:
        if self.chance.random() < 0.7:
            return b""
        names = ("feed", "target", "limit", "force", "x")
        pairs = []
        for _ in range(self.chance.randrange(1, 4)):
            value = self.chance.choice((*NUMBERS, "noaa", "temperature", "small")).encode()
            if self.chance.random() < 0.5:
                value = self._any_bytes()
            mark = self.chance.choice(("=", "=", "=", "", "=="))
            value = quote_from_bytes(value, safe="&;=%").encode()
            pairs.append(f"{self.chance.choice(names)}{mark}".encode() + value)
        return self.chance.choice((b"&", b"&", b";", b"&&")).join(pairs)

    def _chunks(self, body: bytes) -> list[bytes]:
        if self.chance.random() < 0.7:
            return [body]
        at = sorted(self.chance.randrange(len(body) + 1) for _ in range(2))
        return [body[: at[0]], body[at[0] : at[1]], body[at[1] :]]
