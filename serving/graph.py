"""One ONNX graph of a release, ready to answer: checked against the contract and warmed up before it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from aerocast.errors import AeroCastError
from aerocast.intervals import Intervals
from aerocast.manifest import Graph, Manifest
from aerocast.windows import Floats, feature_names

INPUT, OUTPUT = "features", "forecast"
# onnxruntime's errors have no common base but Exception.
ORT_ERRORS: tuple[type[Exception], ...] = tuple(
    kind for kind in vars(ort_state).values() if isinstance(kind, type) and issubclass(kind, Exception)
)
RUN_ERRORS: tuple[type[Exception], ...] = (*ORT_ERRORS, ValueError)


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False  # hundreds of small sessions live in one process
    options.log_severity_level = 4
    return options


@dataclass(frozen=True, slots=True)
class GraphRunner:
    """Feature rows in, levels and bounds out.

    `pick` selects the graph's features from those of the window (None: all of them), `drivers` those that the
    intervals' width follows.
    """

    session: Any
    pick: NDArray[np.int64] | None
    drivers: NDArray[np.int64]
    intervals: Intervals

    @classmethod
    def build(cls, manifest: Manifest, graph: Graph, data: bytes) -> GraphRunner:
        """Raises AeroCastError when the graph does not load, or breaks its contract with windows and horizons."""
        names = feature_names(manifest.window)
        place = {name: index for index, name in enumerate(names)}
        unknown = sorted({*graph.features, *graph.intervals.drivers} - set(names))
        if unknown:
            raise AeroCastError(f"{graph.file} wants features that this server cannot build: {', '.join(unknown[:5])}")
        pick = None if list(graph.features) == names else _places(place, graph.features)
        if graph.intervals.horizons != manifest.horizons:
            raise AeroCastError(f"{graph.file}: its intervals are for {graph.intervals.horizons}, not for its horizons")
        try:
            session = ort.InferenceSession(data, _options(), providers=["CPUExecutionProvider"])
        except ORT_ERRORS as error:
            raise AeroCastError(f"{graph.file} cannot be loaded: {str(error).splitlines()[0]}") from error
        runner = cls(session, pick, _places(place, graph.intervals.drivers), graph.intervals)
        runner._warm_up(graph, len(manifest.horizons))
        runner.bounds(np.zeros((1, len(manifest.horizons)), dtype=np.float32), np.zeros((1, len(names)), np.float32))
        return runner

    def _warm_up(self, graph: Graph, horizons: int) -> None:
        """Two batch sizes, numbers and missing ones: what the contract promises must run now, not in a request."""
        for rows, value in ((1, 0.0), (2, np.nan), (1, 0.0)):
            batch = np.full((rows, len(graph.features)), value, dtype=np.float32)
            try:
                shape = np.shape(self.session.run([OUTPUT], {INPUT: batch})[0])
            except RUN_ERRORS as error:
                raise AeroCastError(f"{graph.file} does not run: {str(error).splitlines()[0]}") from error
            if shape != (rows, horizons):
                raise AeroCastError(f"{graph.file} answers {shape} for {rows} rows and {horizons} horizons")

    def levels(self, features: Floats) -> NDArray[np.float32]:
        """(n, H) forecasts in the target's unit for window features (n, F)."""
        batch = features if self.pick is None else features[:, self.pick]
        result: NDArray[np.float32] = self.session.run([OUTPUT], {INPUT: batch})[0]
        return result

    def bounds(self, levels: NDArray[np.float32], features: Floats) -> tuple[Floats, Floats]:
        """Lower and upper bounds (n, H) of levels (n, H) for the window features (n, F) they came from."""
        return self.intervals.apply(levels, features[:, self.drivers], self.intervals.drivers)


def _places(place: dict[str, int], names: tuple[str, ...]) -> NDArray[np.int64]:
    return np.array([place[name] for name in names], dtype=np.int64)
