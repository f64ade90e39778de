"""Any history of deliveries, by whatever way and however often interrupted, ends in the bronze that pandas computes."""

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import claims
from aerocast.ingest.channels.claim_objects import ClaimPrefixes
from aerocast.storage.folder import FolderStore
from tests.harness.deliveries import Deliveries
from tests.harness.memory_broker import MemoryBroker

START = datetime(2024, 1, 31, 21, tzinfo=UTC)
COLUMNS = {"temperature": ("temp", -40.0, 50.0), "humidity": ("rh", 0.0, 100.0)}
BACK = "taken back"
MISSING = {"", "na", "-999"}

Line = tuple[str, str, str | None, str | None]  # station, time, temp, rh
History = list[tuple[str, list[Line]]]


def declared(path: Path) -> Feed:
    source = {"path": str(path), "station_field": "station", "time_field": "time", "withdrawn": [BACK]}
    columns = [
        {"name": name, "field": field, "source_unit": "degC", "unit": "degC", "range": [low, high]}
        for name, (field, low, high) in COLUMNS.items()
    ]
    declaration: dict[str, Any] = {
        "name": "any",
        "description": "",
        "source": source,
        "cadence": "PT1H",
        "seasons": ["PT2H"],
        "start": "2024-01-01T00:00:00Z",
        "end": "2024-03-01T00:00:00Z",
        "freshness": "PT6H",
        "stations": [{"id": "A", "aliases": ["old A"]}, {"id": "B"}],
        "columns": columns,
        "targets": ["temperature"],
        "window": {"steps": 2, "columns": ["temperature"], "look_back": 2},
        "horizons": [1],
        "gap_policy": {"max_steps": 3},
        "candidates": {"persistence": {}, "seasonal_naive": {}},
    }
    return Feed.parse(declaration)


def reading(line: Line) -> tuple[str, str]:
    """Which reading a line is of, whatever it calls its station."""
    return {"old A": "A"}.get(line[0], line[0]), line[1]


def oracle(history: History) -> dict[tuple[str, str], tuple[float | None, ...]]:
    """Bronze: (station, time) -> values. A file says what it says now; its lines count from when they were new."""
    said: list[tuple[int, int, Line]] = []
    file: dict[tuple[str, str], list[tuple[int, int, Line]]] = {}
    for turn, (kind, lines) in enumerate(history):
        numbered = [(turn, number, line) for number, line in enumerate(lines)]
        if kind != "file":
            said += numbered
            continue
        for key in file.keys() | {reading(line) for line in lines}:
            old, new = file.get(key, []), [each for each in numbered if reading(each[2]) == key]
            before, after = ([each[2] for each in each_of] for each_of in (old, new))
            # Of a reading that is spelt in two ways all lines are delivered again, if one of them is.
            alike = len({each[:2] for each in before + after}) < 2
            grown = after[: len(before)] == before and (alike or after == before)
            file[key] = old + new[len(old) :] if grown else new
    rows = [(turn, number, *line) for turn, number, line in [*said, *(each for kept in file.values() for each in kept)]]
    frame = pd.DataFrame(rows, columns=["turn", "number", "station", "time", *COLUMNS]).sort_values(["turn", "number"])
    frame = frame.replace({"station": {"old A": "A"}}).query("station in ['A', 'B'] and time != 'soon'")
    for name, (_, low, high) in COLUMNS.items():
        text = frame[name].str.strip().str.lower()
        number = pd.to_numeric(text.where(~text.isin(MISSING)), errors="coerce")
        frame[name] = number.where(number.between(low, high)).where(text != BACK, float("inf"))
    merged = frame.groupby(["station", "time"])[list(COLUMNS)].last()
    values = ([None if v != v or v == float("inf") else v for v in row] for row in merged.values.tolist())
    return {key: tuple(row) for key, row in zip(merged.index, values, strict=True)}


class Killed(BaseException):
    """The process ends here."""


def killing(after: int) -> Callable[[], None]:
    """Ends the process at the n-th file or commit that is brought to the disk, from now on; returns the way back."""
    settle, left = FolderStore.sync, [after]

    def dying(*arguments: Any) -> None:
        settle(*arguments)
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    FolderStore.sync = dying

    def back() -> None:
        FolderStore.sync = settle

    return back


hour = st.integers(0, 5).map(lambda at: f"{START + timedelta(hours=at):%Y-%m-%dT%H:%M:%SZ}")
text = st.sampled_from(["1", "2.0", "30", "99", "-60", "x", " 7 ", "", "NA", "-999.0", BACK, None])
line = st.tuples(st.sampled_from(["A", "A", "A", "B", "old A", "Z"]), hour, text, text)
some = st.lists(line, min_size=1, max_size=5)


class Histories(RuleBasedStateMachine):
    """Deliveries through every channel, taken now or later, with kills in between; at the end bronze is compared."""

    fields: ClassVar = [field for field, *_ in COLUMNS.values()]

    @initialize()
    def begin(self) -> None:
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="aerocast-", dir=memory if memory.is_dir() else None))
        self.csv, self.broker, self.history = self.folder / "readings.csv", MemoryBroker(), History()
        self.lines: list[Line] = []
        self.posted: list[list[Line]] = []
        self.dropped: list[list[Line]] = []
        self.number, self.changed = 0, True
        self._write()
        self.feed = declared(self.csv)
        self.home = Deliveries(self.folder / "home", self.feed)

    @rule(lines=some, doubled=st.booleans())
    def post(self, lines: list[Line], doubled: bool) -> None:
        body, key = json.dumps(self._records(lines)).encode(), f"key-{self._next()}"
        for _ in range(1 + doubled):
            self.home.post(body, key=key)
        self.posted.append(lines)

    @rule(lines=some, kind=st.sampled_from(["csv", "jsonl", "parquet"]))
    def drop(self, lines: list[Line], kind: str) -> None:
        path = self.home.drop(f"{self._next()}.{kind}", self._encoded(lines, kind))
        os.utime(path, (1_700_000_000 + self.number,) * 2)
        self.dropped.append(lines)

    @rule(at=st.integers(0, 3))
    def drop_again(self, at: int) -> None:
        """Content that came some time ago by this way, or by another one."""
        older = [lines for kind, lines in self.history if kind == "add"]
        if older:
            self.drop(older[-1 - at % len(older)], "csv")

    @rule(lines=some)
    def append(self, lines: list[Line]) -> None:
        self.lines = [*self.lines, *lines]
        self._write()

    @rule(lines=some, keep=st.sets(st.integers(0, 20)))
    def correct(self, lines: list[Line], keep: set[int]) -> None:
        """The file loses lines, and gains others."""
        self.lines = [*(each for at, each in enumerate(self.lines) if at in keep), *lines]
        self._write()

    @rule(lines=some, again=st.booleans())
    def claim(self, lines: list[Line], again: bool) -> None:
        """Announced, perhaps heard twice, and taken at once."""
        path = self.folder / f"{self._next()}.parquet"
        path.write_bytes(self._encoded(lines, "parquet"))
        for _ in range(1 + again):
            claims.announce(self.broker, claims.TRAINING_TOPIC, self.feed, [path], self.folder, path.stem)  # type: ignore[arg-type]
        prefixes = ClaimPrefixes.of(self.home.home, str(self.folder))
        claims.take_claims(self.broker, self.home.home, {self.feed.name: self.feed}.get, quiet=0, prefixes=prefixes)  # type: ignore[arg-type]
        self.history.append(("add", lines))

    @rule(kills=st.lists(st.integers(0, 6), max_size=3))
    def take(self, kills: list[int]) -> None:
        for after in kills:
            back = killing(after)
            try:
                self.home.take()
            except Killed:
                self.home = Deliveries(self.home.home, self.feed)
            finally:
                back()
        self.home.take()
        self.history += [("add", lines) for lines in (*self.posted, *self.dropped)]
        self.history += [("file", self.lines)] if self.changed else []
        self.posted, self.dropped, self.changed = [], [], False

    def teardown(self) -> None:
        if not hasattr(self, "home"):
            return
        self.take([])
        if not self.home.count("raw"):
            assert not oracle(self.history)
            return
        self.home.clean()
        found = {
            (row["station"], f"{row['time'].astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"): tuple(row[name] for name in COLUMNS)
            for row in self.home.rows("bronze")
        }
        shutil.rmtree(self.folder)
        assert found == oracle(self.history)

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _write(self) -> None:
        self.csv.write_bytes(self._encoded(self.lines, "csv"))
        self.changed = True

    def _records(self, lines: list[Line]) -> list[dict[str, str | None]]:
        return [dict(zip(("station", "time", *self.fields), line, strict=True)) for line in lines]

    def _encoded(self, lines: list[Line], kind: str) -> bytes:
        if kind == "jsonl":
            return "".join(json.dumps(each) + "\n" for each in self._records(lines)).encode()
        if kind == "parquet":
            schema = pa.schema([(name, pa.string()) for name in ("station", "time", *self.fields)])
            pq.write_table(pa.Table.from_pylist(self._records(lines), schema), sink := pa.BufferOutputStream())
            return sink.getvalue().to_pybytes()
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([("station", "time", *self.fields), *lines])
        return out.getvalue().encode()


EXAMPLES = settings.default.max_examples if settings.default else 100
every = settings(stateful_step_count=6, suppress_health_check=list(HealthCheck), max_examples=EXAMPLES)


@pytest.mark.e2e
class TestHistories(Histories.TestCase):
    settings = settings(every, max_examples=max(1, EXAMPLES // 4))


@pytest.mark.e2e
class TestManyHistories(Histories.TestCase):
    settings = every
