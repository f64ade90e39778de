"""The rows behind a training or a trial, as MLflow shows them: a dataset of the run, named as the table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

    from aerocast.models.candidates import Candidate

LONGEST_DIGEST = 36  # all that MLflow takes


@dataclass(frozen=True)
class LoggedRows:
    """`count` rows of a windows table from origin `start` to `end` (UTC), and a `digest` of their content.

    `counts` are further numbers to show, by name.
    """

    feed: str
    target: str
    context: Literal["training", "evaluation"]
    digest: str
    version: int | None
    features: tuple[str, ...]
    count: int
    start: datetime
    end: datetime
    counts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of_training(cls, candidate: Candidate) -> LoggedRows | None:
        """The rows that a training read; None where a candidate does not know them."""
        read, version = candidate.read, candidate.delta_versions.get("windows")
        if read is None:
            return None
        counts = {"learned": candidate.rows}
        own = (candidate.features, read.count, read.start, read.end, counts)
        return cls(candidate.feed, candidate.target, "training", read.digest, version, *own)

    def as_input(self) -> DatasetInput:
        """What `MlflowClient.log_inputs` takes. The table's name stays when a home moves, as a path would not."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        name = f"{self.feed}/{self.target}/windows"
        profile = {"rows": self.count, **self.counts, "start": _iso(self.start), "end": _iso(self.end)}
        columns = [{"name": feature, "type": "float"} for feature in self.features]
        rows = Dataset(
            name=name,
            digest=self.digest[:LONGEST_DIGEST],
            source_type="delta",
            source=json.dumps({"table": name, "version": self.version}),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps(profile),
        )
        return DatasetInput(rows, [InputTag("mlflow.data.context", self.context)])


def _iso(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"
