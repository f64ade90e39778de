"""Two models of one kind in one graph: one with what is known ahead, and one without, for rows that lack some of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from aerocast.common.errors import AeroCastError
from aerocast.contracts.intervals import Intervals
from aerocast.features import ahead
from aerocast.features.dataset import Dataset, Rows
from aerocast.features.grid import Floats, Ints, WindowSpec
from aerocast.feed.model_kind import Log, Model, Parameters, silent
from aerocast.models.calibration import conformal

if TYPE_CHECKING:
    import onnx


def learn(kind: type[Model[Any]], data: Dataset, parameters: Mapping[str, Any] | None, log: Log) -> Model[Any]:
    """A fitted model of a kind; with a second one behind it where what is known ahead may be late.

    Raises:
        AeroCastError: as `Model.learn` does.
    """
    values = [data.names.index(name) for name in ahead.value_names(data.spec) if name in data.names]
    if not values or kind.is_baseline or kind.learns_sequences:
        return kind.learn(data, parameters, log)
    ahead_names = {*ahead.names(data.spec)}
    others = np.array([at for at, name in enumerate(data.names) if name not in ahead_names])
    whole, bare = _parts(data, np.array(values), others)
    return Fallback(
        kind.learn(whole, parameters, log),
        kind.learn(bare, parameters, silent),
        np.array(values),
        others,
        len(data.names),
    )


def _parts(data: Dataset, values: Ints, others: Ints) -> tuple[Dataset, Dataset]:
    """The rows that the one model learns from, and those of the other."""
    names = tuple(data.names[at] for at in others)
    bare = Dataset(data.spec, names, *(Rows(part.x[:, others], part.y) for part in (data.train, data.validation)))
    # It answers rows that lack nothing, so it learns from such rows, unless there are none yet.
    parts = (
        part.take(np.flatnonzero(np.isfinite(part.x[:, values]).all(axis=1))) for part in (data.train, data.validation)
    )
    whole = Dataset(data.spec, data.names, *parts)
    return (data if whole.unmeasured else whole), bare


def late_factors(
    spec: WindowSpec,
    names: Sequence[str],
    x: Floats,
    y: Floats,
    levels_of: Callable[[Floats], Floats],
    intervals: Intervals,
) -> tuple[float, ...]:
    """How much wider intervals must be without what is known ahead, 1 or more a horizon.

    From calibration rows `x` (n, F) called `names` with outcomes `y` (n, H); `levels_of` gives the graph's forecasts.
    """
    ahead_names = {*ahead.names(spec)}
    rows = x.copy()
    rows[:, [at for at, name in enumerate(names) if name in ahead_names]] = np.nan
    excess = intervals.excess(levels_of(rows), y, rows, names)
    return tuple(max(1.0, each) for each in conformal(excess, intervals.level).tolist())


@dataclass(frozen=True)
class Fallback(Model[Parameters]):
    """`full` answers rows that have every feature of `values`, `bare`, which sees the `others` alone, all the rest."""

    full: Model[Any]
    bare: Model[Any]
    values: Ints
    others: Ints
    features: int

    kind = "fallback"
    title = "Model with fallback"
    description = "A model that looks at what is known ahead, and one for when it is late."
    parameters = Parameters

    @classmethod
    def fit(cls, data: Dataset, parameters: Parameters, log: Log) -> Self:
        raise AeroCastError("a model with a fallback is made from a kind")

    def refit(self, data: Dataset, rows: Rows) -> Self:
        (full, bare), (full_rows, bare_rows) = (
            _parts(each, self.values, self.others) for each in (data, replace(data, train=rows))
        )
        return replace(self, full=self.full.refit(full, full_rows.train), bare=self.bare.refit(bare, bare_rows.train))

    def predict(self, x: Floats) -> Floats:
        late = np.isnan(x[:, self.values]).any(axis=1, keepdims=True)
        levels: Floats = np.where(late, self.bare.predict(x[:, self.others]), self.full.predict(x))
        return levels

    def decisive(self, at: int) -> tuple[int, ...]:
        return self.full.decisive(at)

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.models.kinds._onnx import GraphBuilder

        builder = GraphBuilder()
        full = builder.include(self.full.to_onnx(), "full")
        bare_model = self.bare.to_onnx()
        bare = builder.include(bare_model, "bare", builder.columns("features", self.others))
        late = builder.op("Cast", builder.op("IsNaN", builder.columns("features", self.values)), to=1)
        late = builder.op("ReduceMax", late, builder.constant([1]), keepdims=1)
        late = builder.op("Greater", late, builder.constant(0.5))
        builder.op("Where", late, bare, full, output="forecast")
        return builder.model(self.features, bare_model.graph.output[0].type.tensor_type.shape.dim[1].dim_value)
