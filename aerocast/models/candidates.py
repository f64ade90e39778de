"""Stores a freshly trained candidate on disk, between the step that trains it and the one that judges it.

One file a (feed, target, kind), `<home>/candidates/<feed>/<target>/<kind>.msgpack`, replaced atomically: its graph,
its intervals and what it was made from. Older ones are seen in MLflow. Plain data (MessagePack), no pickle.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.contracts.intervals import Intervals
from aerocast.contracts.manifest import TrainingRows
from aerocast.features.grid import Floats, Times
from aerocast.storage.documents import Document
from aerocast.storage.home import Home, store_of


class StoredForecasts(msgspec.Struct, frozen=True):
    """What a model without a graph forecasts on the rows that may judge it: `levels` (n, H) float32, as bytes.

    A row is one of `stations` by index, `station` (n,) int32, and its origin in seconds, `time` (n,) int64.
    """

    stations: tuple[str, ...]
    station: bytes
    time: bytes
    levels: bytes

    @classmethod
    def of(cls, station: NDArray[np.str_], time: Times, levels: Floats) -> "StoredForecasts":
        stations, index = np.unique(station, return_inverse=True)
        seconds = time.astype("datetime64[s]").astype(np.int64)
        names = tuple(str(name) for name in stations)
        return cls(names, index.astype(np.int32).tobytes(), seconds.tobytes(), levels.astype(np.float32).tobytes())

    def levels_of(self, station: NDArray[np.str_], time: Times) -> Floats:
        """(n, H) levels of these rows.

        Raises:
            AeroCastError: not all of them were forecast.
        """
        rows = zip(
            np.frombuffer(self.station, np.int32).tolist(), np.frombuffer(self.time, np.int64).tolist(), strict=True
        )
        index_of = {(self.stations[index], seconds): at for at, (index, seconds) in enumerate(rows)}
        seconds = time.astype("datetime64[s]").astype(np.int64).tolist()
        indices = [index_of.get(row, -1) for row in zip(station.tolist(), seconds, strict=True)]
        if absent := indices.count(-1):
            raise AeroCastError(f"{absent} of {len(indices)} rows did not exist when it was trained")
        return np.frombuffer(self.levels, np.float32).reshape(len(index_of), -1)[indices]


class Newest(msgspec.Struct, frozen=True):
    """What serves of a candidate that has proven itself: the same settings, fitted on the rows that judged as well.

    `intervals` are calibrated on those rows too; `end` is the newest origin (UTC) that it learned from.
    """

    graph: bytes
    intervals: Intervals
    end: datetime
    rows: int


class Candidate(msgspec.Struct, frozen=True):
    """`graph` is ONNX over the window's `features`, by name; `start` and `end` bound the origins (UTC) that it learned
    from; `data_version` names the rows of the training table, `delta_versions` the tables they came from; `since` is
    where the regime began that it was chosen and calibrated for, if one did; `read` says which rows those were. Where
    MLflow could not be used, `mlflow_run_id` and `model_uri` are empty. A kind that cannot serve has no `graph`, but
    `forecasts`, to be judged by. What is judged is `graph`; `newest` serves in its place.
    """

    feed: str
    target: str
    kind: str
    graph: bytes
    features: tuple[str, ...]
    intervals: Intervals
    start: datetime
    end: datetime
    rows: int
    seconds: float
    validation: dict[str, float]
    config_hash: str = ""
    data_version: str = ""
    delta_versions: dict[str, int] = {}
    code_version: str = ""
    mlflow_run_id: str = ""
    model_uri: str = ""
    since: datetime | None = None
    read: TrainingRows | None = None
    parameters: dict[str, Any] = {}
    forecasts: StoredForecasts | None = None
    newest: Newest | None = None

    @property
    def serving(self) -> Newest:
        """What serves if this candidate is promoted."""
        return self.newest or Newest(self.graph, self.intervals, self.end, self.rows)


def candidate_path(home: Home, feed: str, target: str, kind: str) -> Path:
    """The file of a candidate."""
    return Path(home) / document(home, feed, target, kind).name


def write_candidate(home: Home, candidate: Candidate) -> None:
    """Replaces the candidate's file atomically. Raises AeroCastError when the disk refuses, and keeps the old one."""
    document(home, candidate.feed, candidate.target, candidate.kind).write(candidate)


def read_candidate(home: Home, feed: str, target: str, kind: str) -> Candidate | None:
    """The newest candidate of this kind; None if there is none. Raises AeroCastError when it cannot be read."""
    try:
        return document(home, feed, target, kind).read()
    except AeroCastError as error:
        raise AeroCastError(f"{error}; materialise {feed}/{target}/{kind} again") from error


def document(home: Home, feed: str, target: str, kind: str) -> Document[Candidate]:
    """The newest candidate of this kind."""
    return Document(store_of(Path(home)), f"candidates/{feed}/{target}/{kind}.msgpack", Candidate, "candidate")
