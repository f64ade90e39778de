"""MLflow (SQLite below the home): every training's parameters, curves and scores, and the registry with its alias.

The lake, the candidates and the releases are what the platform runs on; MLflow is where people compare. Nothing is read
back from here to decide: what MLflow has lost is written again from the candidates, and what it refuses is left out.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from aerocast.models import tracking_database as database
from aerocast.models.tracking_database import Untracked
from aerocast.storage.home import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

    from aerocast.models.candidates import Candidate

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
ALIAS = "champion"
# What a logged graph needs to run; given explicitly because inferring it costs seconds a model.
REQUIREMENTS = ("onnxruntime",)
BATCH = 1000  # most metrics that MLflow takes in one call
Result = TypeVar("Result")


class Tracked(NamedTuple):
    """Where MLflow has a training: its run, and the URI of its graph (`models:/...`), if it has one."""

    run_id: str
    model_uri: str


@dataclass
class Curves:
    """What a training said while it went on, (step, values), and when it began."""

    steps: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    began: float = field(default_factory=time.time)


def model_name(feed: str, target: str) -> str:
    """The registered model of a feed's target."""
    return f"{feed}.{target}"


class Tracker:
    """MLflow under `<home>/mlflow.db` and `<home>/mlflow/`; imported and opened at first use.

    `notes` are sentences on what had to be mended.

    Raises, from every method:
        Untracked: MLflow cannot be used now.
    """

    def __init__(self, home: Home) -> None:
        self.home = Path(home)
        self.notes: list[str] = []

    @cached_property
    def client(self) -> MlflowClient:
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # what fails is told in one sentence
        self.notes += database.ready(self.home)
        # mlflow.onnx.log_model knows no client, only the process's tracking URI.
        mlflow.set_tracking_uri(database.uri(self.home))
        mlflow.set_registry_uri(database.uri(self.home))
        return mlflow.MlflowClient(database.uri(self.home))

    def record(self, candidate: Candidate, tags: Mapping[str, str], curves: Curves | None = None) -> Tracked:
        """A finished training as an MLflow run: parameters, metrics with their curves, the rows it read, its graph."""
        return self._guarded(lambda: self._record(candidate, tags, curves or Curves()))

    def knows(self, candidate: Candidate) -> bool:
        """Whether MLflow still has this training's run."""
        return self._guarded(lambda: bool(candidate.mlflow_run_id) and self._knows(candidate))

    def judge(self, run_id: str, scores: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Adds what a trial has found to a training's run."""
        self._guarded(lambda: self._log(run_id, [(0, scores)], tags))

    def register(self, candidate: Candidate, tags: Mapping[str, str], *, champion: bool) -> str:
        """The version of the registered model that holds this training's graph (registered once); moves the alias."""

        def action() -> str:
            name = model_name(candidate.feed, candidate.target)
            known = self._versions(name, candidate.mlflow_run_id)
            version = (
                known
                or self.client.create_model_version(
                    name, source=candidate.model_uri, run_id=candidate.mlflow_run_id
                ).version
            )
            return self._mark(name, str(version), tags, champion=champion)

        return self._guarded(action)

    def follow(self, name: str, run_id: str | None, tags: Mapping[str, str]) -> bool:
        """Moves the alias to the version of this training and tags it; False if MLflow does not know it (any more)."""

        def action() -> bool:
            known = self._versions(name, run_id) if run_id else None
            return bool(known and self._mark(name, known, tags, champion=True))

        return self._guarded(action)

    def prune(self, feed: str, before: datetime, named: Collection[str]) -> int:
        """Deletes the feed's runs that ended before then, but for the named ones, with their graphs; how many.

        What is in MLflow's bin goes with them.
        """
        return self._guarded(lambda: self._prune(feed, before, named))

    def _guarded(self, action: Callable[[], Result]) -> Result:
        try:
            return action()
        except Untracked:
            raise
        except Exception as error:  # MLflow's, SQLAlchemy's, SQLite's, the disk's: whatever it is, only MLflow lacks it
            raise Untracked(f"MLflow refuses: {' '.join(str(error).split())[:300]}") from error

    def _record(self, candidate: Candidate, tags: Mapping[str, str], curves: Curves) -> Tracked:
        from mlflow.entities import Param

        title = f"{candidate.target} {candidate.kind}"
        named = {"feed": candidate.feed, "target": candidate.target, "kind": candidate.kind}
        own = named | {"config_hash": candidate.config_hash}
        own |= {"since": candidate.since.isoformat()} if candidate.since else {}
        began = int(curves.began * 1000)
        run = self.client.create_run(self._experiment(candidate.feed), start_time=began, run_name=title)
        run_id = str(run.info.run_id)
        # The result stands behind its curve: MLflow shows a metric's newest step.
        end = 1 + max((step for step, _ in curves.steps), default=-1)
        self._log(run_id, [*curves.steps, (end, candidate.validation)], own | dict(tags))
        self.client.log_batch(run_id, params=[Param(name, str(v)) for name, v in candidate.parameters.items()])
        self._log_rows(run_id, candidate)
        uri = self._log_graph(run_id, candidate, named, own) if candidate.graph else ""
        self.client.set_terminated(run_id, "FINISHED")
        return Tracked(run_id, uri)

    def _log_graph(self, run_id: str, candidate: Candidate, named: Mapping[str, str], tags: Mapping[str, str]) -> str:
        import mlflow
        import mlflow.onnx
        import onnx

        graph = onnx.load_model_from_string(candidate.graph)
        with mlflow.start_run(run_id=run_id):
            logged = mlflow.onnx.log_model(
                graph,
                name="-".join(named.values()),
                signature=_signature(graph),
                pip_requirements=list(REQUIREMENTS),
                tags=dict(tags),
            )
        return str(logged.model_uri)

    def _log(self, run_id: str, steps: list[tuple[int, Mapping[str, float]]], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for step, values in steps for name, value in values.items()]
        for first in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[first : first + BATCH])
        self.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def _log_rows(self, run_id: str, candidate: Candidate) -> None:
        """The rows that the training read, as MLflow's dataset; by the table's name, which stays when homes move."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if candidate.read is None:
            return
        name, version = f"{candidate.feed}/{candidate.target}/windows", candidate.delta_versions.get("windows")
        profile: dict[str, Any] = {"rows": candidate.read.count, "learned": candidate.rows}
        profile |= {"start": _iso(candidate.read.start), "end": _iso(candidate.read.end)}
        columns = [{"name": feature, "type": "float"} for feature in candidate.features]
        rows = Dataset(
            name=name,
            digest=candidate.read.digest[:36],  # all that MLflow takes
            source_type="delta",
            source=json.dumps({"table": name, "version": version}),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps(profile),
        )
        self.client.log_inputs(run_id, datasets=[DatasetInput(rows, [InputTag("mlflow.data.context", "training")])])

    def _prune(self, feed: str, before: datetime, named: Collection[str]) -> int:
        from mlflow.cli import gc
        from mlflow.entities import ViewType

        experiment = self.client.get_experiment_by_name(feed)
        if experiment is None:
            return 0
        ended = f"attributes.end_time < {int(before.timestamp() * 1000)}"
        runs = self.client.search_runs([experiment.experiment_id], ended, ViewType.ALL, BATCH)
        old = [run.info for run in runs if run.info.run_id not in named]
        models = []
        for info in old:
            for version in self.client.search_model_versions(f"run_id='{info.run_id}'"):
                self.client.delete_model_version(version.name, version.version)
            if info.lifecycle_stage == "active":
                self.client.delete_run(info.run_id)
            logged = self.client.search_logged_models(
                [experiment.experiment_id], filter_string=f"source_run_id='{info.run_id}'"
            )
            models += [model.model_id for model in logged]
        for model in models:
            self.client.delete_logged_model(model)
        if old:
            place = database.uri(self.home)
            arguments = ["--backend-store-uri", place, "--tracking-uri", place]
            arguments += ["--run-ids", ",".join(info.run_id for info in old)]
            arguments += ["--logged-model-ids", ",".join(models)] if models else []
            gc.main(arguments, standalone_mode=False)
        return len(old)

    def _experiment(self, name: str) -> str:
        """The feed's experiment, made or taken out of MLflow's bin."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            place = str(self.home / database.ARTIFACTS)
            return str(self.client.create_experiment(name, artifact_location=place))
        if found.lifecycle_stage != "active":
            self.client.restore_experiment(found.experiment_id)
            self.notes.append(f"MLflow's experiment {name} was deleted and is restored: trainings go on in it")
        return str(found.experiment_id)

    def _knows(self, candidate: Candidate) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            if candidate.graph:
                self.client.get_logged_model(candidate.model_uri.removeprefix("models:/"))
            return str(self.client.get_run(candidate.mlflow_run_id).info.lifecycle_stage) == "active"
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _mark(self, name: str, version: str, tags: Mapping[str, str], *, champion: bool) -> str:
        for key, value in tags.items():
            self.client.set_model_version_tag(name, version, key, value)
        if champion:
            self.client.set_registered_model_alias(name, ALIAS, version)
        return version

    def _versions(self, name: str, run_id: str) -> str | None:
        """The newest version of a registered model, made if there is none, that this run has."""
        if not self.client.search_registered_models(filter_string=f"name='{name}'"):
            feed, _, target = name.partition(".")
            self.client.create_registered_model(
                name, {"feed": feed, "target": target}, f"Forecasts of {target} in the feed {feed}"
            )
        found = self.client.search_model_versions(f"name='{name}' and run_id='{run_id}'")
        return str(found[0].version) if found else None


def _signature(graph: Any) -> ModelSignature:
    """What an ONNX graph takes and gives; -1 stands for as many rows as there are."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec
    from onnx.helper import tensor_dtype_to_np_dtype

    def schema(values: Any) -> Schema:
        return Schema(
            [
                TensorSpec(
                    tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
                    tuple(size.dim_value or -1 for size in value.type.tensor_type.shape.dim),
                    value.name,
                )
                for value in values
            ]
        )

    return ModelSignature(inputs=schema(graph.graph.input), outputs=schema(graph.graph.output))


def _iso(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"
