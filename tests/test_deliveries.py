"""Any history of deliveries, by whatever way and however often interrupted, ends in the bronze that pandas computes."""

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from aerocast import datafiles
from aerocast.brokers import Letter, Message
from aerocast.doors import claims
from aerocast.feed import Feed
from tests.delivering import Deliveries

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
    return Feed.parse(
        {
            **{"name": "any", "description": "", "source": source, "cadence": "PT1H", "season": 2},
            **{"start": "2024-01-01T00:00:00Z", "end": "2024-03-01T00:00:00Z", "freshness": "PT6H"},
            **{"stations": [{"id": "A", "aliases": ["old A"]}, {"id": "B"}], "columns": columns},
            **{"targets": ["temperature"], "window": {"steps": 2, "columns": ["temperature"], "look_back": 2}},
            **{"horizons": [1], "gap_policy": {"max_steps": 3}},
            "candidates": {"persistence": {}, "seasonal_naive": {}},
        }
    )


def oracle(history: History) -> dict[tuple[str, str], tuple[float | None, ...]]:
    """Bronze: (station, time) -> values. A file says what it says now; its lines count from when they were new."""
    said: list[tuple[int, int, Line]] = []
    file: dict[tuple[str, str], list[tuple[int, int, Line]]] = {}
    for turn, (kind, lines) in enumerate(history):
        numbered = [(turn, number, line) for number, line in enumerate(lines)]
        if kind != "file":
            said += numbered
            continue
        for key in file.keys() | {line[:2] for line in lines}:
            old, new = file.get(key, []), [each for each in numbered if each[2][:2] == key]
            grown = [each[2] for each in new[: len(old)]] == [each[2] for each in old]
            file[key] = old + new[len(old) :] if grown else new
    rows = [(turn, number, *line) for turn, number, line in [*said, *(each for kept in file.values() for each in kept)]]
    frame = pd.DataFrame(rows, columns=["turn", "number", "station", "time", *COLUMNS]).sort_values(["turn", "number"])
    frame = frame.replace({"station": {"old A": "A"}}).query("station in ['A', 'B'] and time != 'soon'")
    for name, (_, low, high) in COLUMNS.items():
        text = frame[name].str.strip().str.lower()
        number = pd.to_numeric(text.where(~text.isin(MISSING)), errors="coerce")
        frame[name] = number.where(number.between(low, high)).where(text != BACK, float("inf"))
    merged = frame.groupby(["station", "time"])[list(COLUMNS)].last()
    return {key: tuple(None if v != v or v == float("inf") else v for v in row) for key, row in zip(merged.index, merged.values.tolist(), strict=True)}


class Killed(BaseException):
    """The process ends here."""


class Broker:
    """A broker in this process; a message that was not committed comes again."""

    def __init__(self) -> None:
        self.queue: list[Message] = []
        self.letters: list[str] = []

    def publish_all(self, topic: str, letters: Sequence[Letter]) -> None:
        self.queue += [Message(topic, letter.body, letter.id) for letter in letters]

    def consume(self, topics: Sequence[str], quiet: float) -> Iterator[Message]:
        yield from list(self.queue)

    def commit(self, message: Message) -> None:
        self.queue.remove(message)

    def dead(self, message: Message, why: str) -> None:
        self.letters.append(why)

    def later(self, message: Message) -> None:
        raise AssertionError("nothing stands in the way of a claim here")
