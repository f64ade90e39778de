"""A freshly trained candidate on disk, between the step that trains it and the one that judges it.

One file a (feed, target, kind), `<home>/candidates/<feed>/<target>/<kind>.msgpack`, replaced atomically: its graph,
its intervals and what it was made from. Older ones are seen in MLflow. Plain data (MessagePack), no pickle.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from aerocast.errors import AeroCastError
from aerocast.intervals import Intervals
from aerocast.manifest import TrainingRows
from aerocast.storage import atomic
from aerocast.storage.home import Home


class Candidate(msgspec.Struct, frozen=True):
    """`graph` is ONNX over the window's `features`, by name; `start` and `end` bound the origins (UTC) that it learned
    from; `data_version` names the rows of the training table, `delta_versions` the tables they came from; `since` is
    where the regime began that it was chosen and calibrated for, if one did; `read` says which rows those were. Where
    MLflow could not be used, `mlflow_run_id` and `model_uri` are empty.
    """

    feed: str
    target: str
    kind: str
    config_hash: str
    data_version: str
    delta_versions: dict[str, int]
    code_version: str
    graph: bytes
    features: tuple[str, ...]
    intervals: Intervals
    start: datetime
    end: datetime
    rows: int
    seconds: float
    validation: dict[str, float]
    mlflow_run_id: str
    model_uri: str
    since: datetime | None = None
    read: TrainingRows | None = None
    parameters: dict[str, Any] = {}


def place(home: Home, feed: str, target: str, kind: str) -> Path:
    """Where a candidate lies."""
    return home / "candidates" / feed / target / f"{kind}.msgpack"


def write(home: Home, candidate: Candidate) -> None:
    """Old or new candidate, never a mixture.

    Raises:
        AeroCastError: the disk refuses; the old candidate is still whole then.
    """
    path = place(home, candidate.feed, candidate.target, candidate.kind)
    with atomic.locked(path.parent, f"candidate {candidate.feed}/{candidate.target}/{candidate.kind}"):
        atomic.replace_file(path, msgspec.msgpack.encode(candidate))


def read(home: Home, feed: str, target: str, kind: str) -> Candidate | None:
    """The newest candidate of this kind; None if there is none.

    Raises:
        AeroCastError: the file is there but cannot be read.
    """
    path = place(home, feed, target, kind)
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Candidate)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise AeroCastError(f"{path} is damaged: {error}; materialise {feed}/{target}/{kind} again") from error
