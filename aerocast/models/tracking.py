"""Records every training and the champion in MLflow (SQLite below the home): parameters, curves, scores, registry.

The lake, the candidates and the releases are what the platform runs on; MLflow is where people compare. No decision
reads from here: what MLflow has lost is written again from the candidates, and what it refuses is left out.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import msgspec

from aerocast.models import tracking_database as database
from aerocast.models.tracking_database import TrackingUnavailable
from aerocast.models.tracking_rows import LoggedRows
from aerocast.storage.home import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

    from aerocast.models.candidates import Candidate

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
ALIAS = "champion"
# What a logged graph needs to run; given explicitly because inferring it costs seconds a model.
REQUIREMENTS = ("onnxruntime",)
NOTE = "mlflow.note.content"  # a run's description
GRAPHLESS = "Scored beside the others, and never promoted: it has no ONNX graph, so it cannot serve."
BATCH = 1000  # most metrics that MLflow takes in one call
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass
class Curves:
    """The metrics that a training logged, as (step, values), and when it began."""

    steps: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    began: float = field(default_factory=time.time)


def model_name(feed: str, target: str) -> str:
    """The registered model of a feed's target."""
    return f"{feed}.{target}"


def _guard(
    method: Callable[Concatenate[Tracker, Arguments], Result],
) -> Callable[Concatenate[Tracker, Arguments], Result]:
    """Raises TrackingUnavailable for whatever fails in MLflow, SQLAlchemy, SQLite or on the disk."""

    @wraps(method)
    def guard(self: Tracker, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return method(self, *args, **kwargs)
        except TrackingUnavailable:
            raise
        except Exception as error:
            raise TrackingUnavailable(f"MLflow refuses: {' '.join(str(error).split())[:300]}") from error

    return guard


class Tracker:
    """MLflow under `<home>/mlflow.db` and `<home>/mlflow/`; imported and opened at first use.

    `notes` are sentences on what had to be repaired.

    Raises, from every public method:
        TrackingUnavailable: MLflow cannot be used now.
    """

    def __init__(self, home: Home) -> None:
        self.home = Path(home)
        self.notes: list[str] = []

    @cached_property
    def client(self) -> MlflowClient:
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # a failure is reported in one sentence
        self.notes += database.prepare(self.home)
        # mlflow.onnx.log_model knows no client, only the process's tracking URI.
        mlflow.set_tracking_uri(database.uri(self.home))
        mlflow.set_registry_uri(database.uri(self.home))
        return mlflow.MlflowClient(database.uri(self.home))

    @_guard
    def record(self, candidate: Candidate, tags: Mapping[str, str], curves: Curves | None = None) -> Candidate:
        """Writes a finished training as an MLflow run: parameters, metrics with curves, the rows it read, its graph.

        Returns:
            The candidate with its run and the URI of its graph (`models:/...`), if it has one.
        """
        from mlflow.entities import Param

        curves, title = curves or Curves(), f"{candidate.target} {candidate.kind}"
        names = {"feed": candidate.feed, "target": candidate.target, "kind": candidate.kind}
        own = names | {"config_hash": candidate.config_hash}
        own |= {"since": candidate.since.isoformat()} if candidate.since else {}
        began = int(curves.began * 1000)
        run = self.client.create_run(self._experiment(candidate.feed), start_time=began, run_name=title)
        run_id = str(run.info.run_id)
        # The result stands behind its curve: MLflow shows a metric's newest step.
        end = 1 + max((step for step, _ in curves.steps), default=-1)
        self._log(run_id, [*curves.steps, (end, candidate.validation)], own | dict(tags))
        self.client.log_batch(run_id, params=[Param(name, str(v)) for name, v in candidate.parameters.items()])
        if rows := LoggedRows.of_training(candidate):
            self.client.log_inputs(run_id, datasets=[rows.as_input()])
        uri = self._log_graph(run_id, candidate, names, own) if candidate.graph else ""
        if not candidate.graph:
            self._log(run_id, [], {"serves": "false", NOTE: GRAPHLESS})
        self.client.set_terminated(run_id, "FINISHED")
        return msgspec.structs.replace(candidate, mlflow_run_id=run_id, model_uri=uri)

    @_guard
    def knows(self, candidate: Candidate) -> bool:
        """Whether MLflow still has this training's run."""
        from mlflow.exceptions import MlflowException

        if not candidate.mlflow_run_id:
            return False
        try:
            if candidate.graph:
                self.client.get_logged_model(candidate.model_uri.removeprefix("models:/"))
            return str(self.client.get_run(candidate.mlflow_run_id).info.lifecycle_stage) == "active"
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    @_guard
    def add_scores(
        self, run_id: str, scores: Mapping[str, float], tags: Mapping[str, str], rows: LoggedRows | None = None
    ) -> None:
        """Adds a trial's scores to a training's run, with the rows that judged."""
        self._log(run_id, [(0, scores)], tags)
        if rows:
            self.client.log_inputs(run_id, datasets=[rows.as_input()])

    @_guard
    def register(self, candidate: Candidate, tags: Mapping[str, str], *, champion: bool, text: str = "") -> str:
        """Registers this training's graph once, tags its version and gives a champion the alias; the version.

        `text` is Markdown, which MLflow shows on the pages of the version and of the training's run.
        """
        name, run_id = model_name(candidate.feed, candidate.target), candidate.mlflow_run_id
        version = self._version(name, run_id)
        if version is None:
            version = str(self.client.create_model_version(name, candidate.model_uri, run_id).version)
        self._mark(name, version, tags, champion=champion)
        self.client.update_model_version(name, version, text)
        self.client.set_tag(run_id, NOTE, text)
        return version

    @_guard
    def follow(self, name: str, run_id: str | None, tags: Mapping[str, str]) -> bool:
        """Moves the alias to the version of this training and tags it; False if MLflow does not know it (any more)."""
        version = self._version(name, run_id) if run_id else None
        if version is None:
            return False
        self._mark(name, version, tags, champion=True)
        return True

    def _log_graph(self, run_id: str, candidate: Candidate, names: Mapping[str, str], tags: Mapping[str, str]) -> str:
        import mlflow
        import mlflow.onnx
        import onnx

        graph = onnx.load_model_from_string(candidate.serving.graph)
        with mlflow.start_run(run_id=run_id):
            entry = mlflow.onnx.log_model(
                graph,
                name="-".join(names.values()),
                signature=_signature(graph),
                pip_requirements=list(REQUIREMENTS),
                tags=dict(tags),
            )
        return str(entry.model_uri)

    def _log(self, run_id: str, steps: list[tuple[int, Mapping[str, float]]], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for step, values in steps for name, value in values.items()]
        for first in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[first : first + BATCH])
        self.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    @_guard
    def prune(self, feed: str, before: datetime, keep: Collection[str]) -> int:
        """Deletes the feed's runs that ended before an instant, except those in `keep`, with their graphs; how many.

        What is in MLflow's bin is deleted with them.
        """
        from mlflow.cli import gc
        from mlflow.entities import ViewType

        experiment = self.client.get_experiment_by_name(feed)
        if experiment is None:
            return 0
        condition = f"attributes.end_time < {int(before.timestamp() * 1000)}"
        runs = self.client.search_runs([experiment.experiment_id], condition, ViewType.ALL, BATCH)
        old = [run.info for run in runs if run.info.run_id not in keep]
        models = []
        for info in old:
            for version in self.client.search_model_versions(f"run_id='{info.run_id}'"):
                self.client.delete_model_version(version.name, version.version)
            if info.lifecycle_stage == "active":
                self.client.delete_run(info.run_id)
            graphs = self.client.search_logged_models(
                [experiment.experiment_id], filter_string=f"source_run_id='{info.run_id}'"
            )
            models += [model.model_id for model in graphs]
        for model in models:
            self.client.delete_logged_model(model)
        if old:
            database_uri = database.uri(self.home)
            arguments = ["--backend-store-uri", database_uri, "--tracking-uri", database_uri]
            arguments += ["--run-ids", ",".join(info.run_id for info in old)]
            arguments += ["--logged-model-ids", ",".join(models)] if models else []
            gc.main(arguments, standalone_mode=False)
        return len(old)

    def _experiment(self, name: str) -> str:
        """The feed's experiment, created or restored from MLflow's bin."""
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            location = str(self.home / database.ARTIFACTS)
            return str(self.client.create_experiment(name, artifact_location=location))
        if experiment.lifecycle_stage != "active":
            self.client.restore_experiment(experiment.experiment_id)
            self.notes.append(f"MLflow's experiment {name} was deleted and has been restored: trainings continue in it")
        return str(experiment.experiment_id)

    def _mark(self, name: str, version: str, tags: Mapping[str, str], *, champion: bool) -> None:
        for key, value in tags.items():
            self.client.set_model_version_tag(name, version, key, value)
        if champion:
            self.client.set_registered_model_alias(name, ALIAS, version)

    def _version(self, name: str, run_id: str) -> str | None:
        """The newest version that this run has of a registered model, which is created where it is missing."""
        if not self.client.search_registered_models(filter_string=f"name='{name}'"):
            feed, _, target = name.partition(".")
            self.client.create_registered_model(
                name, {"feed": feed, "target": target}, f"Forecasts of {target} in the feed {feed}"
            )
        versions = self.client.search_model_versions(f"name='{name}' and run_id='{run_id}'")
        return str(versions[0].version) if versions else None


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
