"""One ONNX graph of a release, ready to answer: checked against the contract and warmed up before it serves."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from aerocast.common.errors import AeroCastError
from aerocast.contracts import explanations
from aerocast.contracts.adaptation import Adaptation
from aerocast.contracts.intervals import Intervals
from aerocast.contracts.manifest import Graph, Manifest
from aerocast.features.features import Selection, feature_names, features, select
from aerocast.features.grid import Floats, Grid, WindowSpec
from aerocast.features.groups import feature_groups
from aerocast.features.joined import Origin, features_of
from aerocast.features.windows import sequence_grid

Floats64 = NDArray[np.float64]
INPUT, OUTPUT = "features", "forecast"
# onnxruntime's errors have no common base but Exception.
ORT_ERRORS: tuple[type[Exception], ...] = tuple(
    kind for kind in vars(ort_state).values() if isinstance(kind, type) and issubclass(kind, Exception)
)
RUN_ERRORS: tuple[type[Exception], ...] = (*ORT_ERRORS, ValueError)
WARM_UP_SECONDS = 10.0
PIECE = 128  # rows of a graph at a time
MOST_MEMORY = 128 << 20  # bytes of what graphs compute: a few numbers in a graph make a tensor of any size
# One arena of bounded size for all sessions; weights, which are as large as their files, lie beside it.
ort.create_and_register_allocator(
    ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT),
    ort.OrtArenaCfg({"max_mem": MOST_MEMORY, "arena_extend_strategy": 1, "initial_chunk_size_bytes": 1 << 16}),
)


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    options.log_severity_level = 4
    return options


def _typical(graph: Graph) -> Floats:
    """The graph's typical rows (B, F). Raises AeroCastError for what is none."""
    try:
        return explanations.unpack(graph.typical, len(graph.features))
    except AeroCastError as error:
        raise AeroCastError(f"{graph.file}: {error}") from error


class Row(NamedTuple):
    """What a forecast starts from; distances from it are adapted, and `wider` by a factor or factors (H,)."""

    origin: Origin
    wider: Floats | float = 1.0
    adaptation: Adaptation | None = None


class Levels(NamedTuple):
    """(H,) forecasts in the target's unit, their bounds, and quantiles (H, Q)."""

    levels: Floats
    lower: Floats
    upper: Floats
    quantiles: Floats


@dataclass(frozen=True, slots=True)
class GraphRunner:
    """From a grid to levels and bounds.

    `selection` are the features that are made: first the graph's `inputs`, then what else the intervals' width follows;
    `drivers` says where the latter are. `constant` are the distances (1, H, Q) of quantiles that follow nothing.
    `groups` are those of the inputs, `owner` (F,) is each input's, and `typical` (B, F) what forecasts are explained
    against.
    """

    session: Any
    window: WindowSpec
    selection: Selection
    inputs: int
    drivers: NDArray[np.int64]
    constant: Floats | None
    intervals: Intervals
    groups: tuple[str, ...]
    owner: NDArray[np.int64]
    typical: Floats

    @classmethod
    def build(cls, manifest: Manifest, graph: Graph, data: bytes) -> "GraphRunner":
        """Raises AeroCastError when the graph does not load, or breaks its contract with windows and horizons."""
        names = [*dict.fromkeys([*graph.features, *graph.intervals.inputs])]
        unknown = sorted({*names} - {*feature_names(manifest.window)})
        if unknown:
            raise AeroCastError(f"{graph.file} needs features that this server cannot build: {', '.join(unknown[:5])}")
        if graph.intervals.horizons != manifest.horizons:
            raise AeroCastError(f"{graph.file}: its intervals are for {graph.intervals.horizons}, not for its horizons")
        try:
            session = ort.InferenceSession(data, _options(), providers=["CPUExecutionProvider"])
        except ORT_ERRORS as error:
            raise AeroCastError(f"{graph.file} cannot be loaded: {str(error).splitlines()[0]}") from error
        drivers = np.array([names.index(name) for name in graph.intervals.inputs], dtype=np.int64)
        selection = select(manifest.window, names)
        levels = np.zeros((1, len(manifest.horizons)), dtype=np.float32)
        follows = graph.intervals.inputs or graph.intervals.drivers
        constant = None if follows else graph.intervals.distances(levels, levels[:, :0], ())
        groups = *feature_groups(manifest.window, graph.features), _typical(graph)
        inputs = len(graph.features)
        runner = cls(session, manifest.window, selection, inputs, drivers, constant, graph.intervals, *groups)
        runner._warm_up(graph, len(manifest.horizons))
        runner._try_places(graph)
        runner.intervals.at(levels, runner.distances(levels, np.zeros((1, len(names)), np.float32)))
        return runner

    def _warm_up(self, graph: Graph, horizons: int) -> None:
        """Two batch sizes, numbers and missing ones: what the contract promises must run now, not in a request."""
        options = ort.RunOptions()
        limit = threading.Timer(WARM_UP_SECONDS, setattr, (options, "terminate", True))
        limit.start()
        try:
            for rows, value in ((1, 0.0), (2, np.nan), (1, 0.0)):
                batch = np.full((rows, len(graph.features)), value, dtype=np.float32)
                shape = np.shape(self.session.run([OUTPUT], {INPUT: batch}, options)[0])
                if shape != (rows, horizons):
                    raise AeroCastError(f"{graph.file} answers {shape} for {rows} rows and {horizons} horizons")
        except RUN_ERRORS as error:
            raise AeroCastError(f"{graph.file} does not run: {str(error).splitlines()[0]}") from error
        finally:
            limit.cancel()

    def _try_places(self, graph: Graph) -> None:
        """A place of an unknown time zone, say, must fail now, too."""
        zeros = np.zeros((self.window.steps, len(self.window.columns)))
        for place in {each.timezone: each for each in self.window.places}.values():
            grid = sequence_grid(self.window, zeros, np.datetime64("2024-01-01T00:00:00", "s"), place.id)
            try:
                self.answer([Row(Origin(grid, self.window.look_back - 1))])
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise AeroCastError(f"{graph.file} cannot answer for {place.id}: {reason}") from error

    def answer(self, rows: Sequence[Row]) -> list[Levels]:
        """The forecasts of rows, by one pass of the features and one run of the graph (of PIECE rows at a time)."""
        table = features_of(self.window, [row.origin for row in rows], self.selection)
        levels = self._levels(table[:, : self.inputs])
        distances = self.distances(levels, table)
        for at, row in enumerate(rows):
            if row.adaptation:
                distances[at] = row.adaptation.apply(distances[at : at + 1])[0]
        wider = np.stack([np.broadcast_to(np.asarray(row.wider, np.float32), levels.shape[1:]) for row in rows])
        lower, upper = self.intervals.around(levels, distances, wider)
        quantiles = self.intervals.at(levels, distances, wider)
        return [Levels(*each) for each in zip(levels, lower, upper, quantiles, strict=True)]

    def explain(self, grid: Grid, origin: int, others: Sequence[Grid]) -> tuple[Floats64, Floats64]:
        """Base (H,) and each group's part (G, H) of the forecast that `answer` gives (see `explanations.explain`)."""
        row = features(self.window, grid, np.array([origin]), others, self.selection)
        base, parts = explanations.explain(self._levels, row[:, : self.inputs], self.typical, self.owner)
        return base, parts[0]

    def _levels(self, x: Floats) -> Floats:
        """(n, H) forecasts of rows (n, F), some at a time: what graphs compute must have room."""
        pieces = [self.session.run([OUTPUT], {INPUT: x[at : at + PIECE]})[0] for at in range(0, len(x), PIECE)]
        return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]

    def distances(self, levels: Floats, features: Floats) -> Floats:
        """(n, H, Q) of the quantiles from levels (n, H), for the features (n, F) of the selection they came from."""
        if self.constant is not None:
            return np.repeat(self.constant, len(levels), axis=0)
        return self.intervals.distances(levels, features[:, self.drivers], self.intervals.inputs)
