"""MLflow (SQLite below the home): every training's parameters, curves and metrics, and the registry with its alias.

The lake and the releases are what the platform runs on; MLflow is where people compare. Nothing is read back from
here to decide, so a lost MLflow database loses history and nothing else.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aerocast import durable
from aerocast.home import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
ALIAS = "champion"
# What a logged graph needs to run; given explicitly because inferring it costs seconds a model.
REQUIREMENTS = ("onnxruntime",)
BATCH = 1000  # most metrics that MLflow takes in one call


@dataclass
class Training:
    """One training as MLflow keeps it: filled while it runs, logged at its end."""

    parameters: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    curves: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


def model_name(feed: str, target: str) -> str:
    """The registered model of a feed's target."""
    return f"{feed}.{target}"


class Tracker:
    """MLflow under `<home>/mlflow.db` and `<home>/mlflow/`; imported and opened at first use."""

    def __init__(self, home: Home) -> None:
        self.home = Path(home)
        self.uri = f"sqlite:///{self.home}/mlflow.db"

    @cached_property
    def client(self) -> "MlflowClient":
        import mlflow

        # mlflow.onnx.log_model knows no client, only the process's tracking URI.
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._create()
        mlflow.set_tracking_uri(self.uri)
        return mlflow.MlflowClient(self.uri)

    def _create(self) -> None:
        """Makes the database beside its place: MLflow cannot open one whose making was cut short."""
        import mlflow

        database, beside = self.home / "mlflow.db", self.home / "mlflow-new.db"
        with durable.locked(self.home, "MLflow's database"):
            if database.exists():
                return
            for left in self.home.glob(f"{beside.name}*"):
                left.unlink()
            mlflow.MlflowClient(f"sqlite:///{beside}").search_experiments(max_results=1)
            os.replace(beside, database)
            durable.sync_folder(self.home)

    def experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(self.client.create_experiment(name, artifact_location=str(self.home / "mlflow")))

    @contextmanager
    def run(self, feed: str, target: str, name: str) -> Iterator[str]:
        """An MLflow run's id; the run ends as FAILED if the body raises, so that no run looks alive for ever."""
        experiment = self.experiment(feed)
        run_id = str(self.client.create_run(experiment, run_name=name, tags={"target": target}).info.run_id)
        try:
            yield run_id
        except BaseException:
            self.client.set_terminated(run_id, "FAILED")
            raise
        self.client.set_terminated(run_id, "FINISHED")

    def log(self, run_id: str, training: Training, graph: bytes) -> str:
        """Logs the training and its ONNX graph; returns the model's URI (`models:/...`)."""
        import mlflow
        import mlflow.onnx
        import onnx
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for step, values in training.curves for name, value in values.items()]
        # The result stands behind its curve: MLflow shows a metric's newest step.
        end = 1 + max((step for step, _ in training.curves), default=-1)
        metrics += [Metric(name, value, now, end) for name, value in training.metrics.items()]
        for first in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[first : first + BATCH])
        self.client.log_batch(
            run_id,
            params=[Param(name, str(value)) for name, value in training.parameters.items()],
            tags=[RunTag(name, value) for name, value in training.tags.items()],
        )
        with mlflow.start_run(run_id=run_id):
            logged = mlflow.onnx.log_model(
                onnx.load_model_from_string(graph), name="model", pip_requirements=list(REQUIREMENTS)
            )
        return str(logged.model_uri)

    def register(self, name: str, run_id: str, model_uri: str, tags: Mapping[str, str]) -> str:
        """The version of the registered model that holds this training's graph (registered once, then found)."""
        known = self._versions(name, run_id)
        if known:
            version = str(known[0])
        else:
            version = str(self.client.create_model_version(name, source=model_uri, run_id=run_id).version)
        for key, value in tags.items():
            self.client.set_model_version_tag(name, version, key, value)
        return version

    def champion(self, name: str, version: str) -> None:
        """Moves the alias."""
        self.client.set_registered_model_alias(name, ALIAS, version)

    def follow(self, name: str, run_id: str | None, tags: Mapping[str, str]) -> str | None:
        """Moves the alias to the version of this training and tags it; None if MLflow does not know it (any more)."""
        known = self._versions(name, run_id) if run_id else ()
        if not known:
            return None
        version = str(known[0])
        for key, value in tags.items():
            self.client.set_model_version_tag(name, version, key, value)
        self.champion(name, version)
        return version

    def _versions(self, name: str, run_id: str) -> Sequence[str]:
        if not self.client.search_registered_models(filter_string=f"name='{name}'"):
            self.client.create_registered_model(name)
        return [v.version for v in self.client.search_model_versions(f"name='{name}' and run_id='{run_id}'")]
