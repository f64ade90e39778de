"""What answers while the target is silent: ridges for each class of age beside a model, and its intervals' factors.

The ridges learn from rows that were made as in a silence (`silence`), one where no other column was measured and one
where some was: what a level of another column means depends on that. They stand beside the model in one graph, which
leaves rows whose target was measured to the model alone. What errs least on validation rows answers a horizon: the
ridge, the last measured season, or the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.contracts.intervals import Intervals
from aerocast.contracts.outages import EXTENTS, Outages
from aerocast.features import ahead
from aerocast.features.dataset import Dataset, mae
from aerocast.features.grid import Floats, Ints, WindowSpec
from aerocast.features.outages import age_and_extent
from aerocast.feed.model_kind import Log, Model, Parameters, silent
from aerocast.models.calibration import conformal
from aerocast.models.kinds._ridge import Design, Ridge, choose
from aerocast.models.silence import Silence
from aerocast.models.splits import Role

if TYPE_CHECKING:
    import onnx

    from aerocast.models.kinds._onnx import GraphBuilder

RIDGE, SEASON, MODEL = range(3)
FEWEST = 200  # rows that suffice to learn from; a quarter to choose, and to calibrate
PENALTIES = (30.0, 300.0, 3000.0)


@dataclass(frozen=True)
class Part:
    """The ridge of one class of age, by its `number`, with the rows that it was chosen on.

    It learned from rows where another column was `measured`, or where none was; it `answers` those, or both where too
    few rows teach the other. `errors` (2, H) are the ridge's and the last season's on the class's rows `validation`;
    `choice` (H,) is RIDGE, SEASON or MODEL.
    """

    number: int
    measured: bool
    answers: tuple[bool, ...]
    data: Dataset
    ridge: Ridge
    validation: Ints
    errors: NDArray[np.float64]
    choice: Ints


@dataclass(frozen=True)
class Bridge:
    """The ridges, over the features at `places` of all `names`; class k begins after `since[k]` steps."""

    spec: WindowSpec
    names: tuple[str, ...]
    places: Ints
    since: tuple[int, ...]
    parts: tuple[Part, ...]

    def refit(self, silences: Sequence[Silence], mask: NDArray[np.bool_]) -> Bridge:
        """The same choices, fitted on the rows that were made from those of a mask (n,)."""
        return replace(self, parts=tuple(self._refit(part, silences[part.number], mask) for part in self.parts))

    def _refit(self, part: Part, each: Silence, mask: NDArray[np.bool_]) -> Part:
        own_rows = _is_measured(self.spec, self.names, each.samples.rows.x) == part.measured
        rows = each.samples.rows.take(own_rows & mask[each.index])
        own = replace(rows, x=rows.x[:, self.places])
        return replace(part, ridge=part.ridge.refit(part.data, own))

    def against(self, full: Model[Any], silences: Sequence[Silence]) -> Bridge:
        """The same ridges, which leave to a model what it answers better."""
        parts = []
        for part in self.parts:
            rows = silences[part.number].samples.rows.take(part.validation)
            errors = np.stack([*part.errors, mae(full.predict(rows.x), rows.y)])
            parts.append(replace(part, choice=errors.argmin(axis=0)))
        return replace(self, parts=tuple(parts))

    def choosing_as(self, other: Bridge) -> Bridge:
        """These ridges, with the choices of another fit of them."""
        pairs = zip(self.parts, other.parts, strict=True)
        return replace(self, parts=tuple(replace(part, choice=each.choice) for part, each in pairs))

    def beside(self, full: Model[Any]) -> Bridged:
        """A model with these ridges."""
        return Bridged(full, self)


def learn(spec: WindowSpec, silences: Sequence[Silence], role: NDArray[np.str_]) -> Bridge | None:
    """Ridges for each class of age, from train rows; None where a class has too few rows."""
    names = silences[0].samples.names
    places = _input_places(spec, names)
    train = np.isin(role, [Role.TRAIN, Role.EARLIER])
    x = np.concatenate([each.take(train).x for each in silences])[:, places]
    if len(x) < FEWEST:
        return None
    design, parts = Design.of([names[place] for place in places], x), list[Part]()
    for number, each in enumerate(silences):
        both = [_part(spec, design, places, (number, measured), each, role) for measured in (False, True)]
        able = [part for part in both if part]
        if not able:
            return None
        parts += able if len(able) == 2 else [replace(able[0], answers=(False, True))]
    return Bridge(spec, names, places, (0, *(each.oldest for each in silences[:-1])), tuple(parts))


def _part(
    spec: WindowSpec, design: Design, places: Ints, which: tuple[int, bool], each: Silence, role: NDArray[np.str_]
) -> Part | None:
    """The part of a class (`which`: its number, and whether other columns were measured); None for too few rows."""
    names, own = each.samples.names, _is_measured(spec, each.samples.names, each.samples.rows.x) == which[1]
    train, validation = (
        np.flatnonzero(own & np.isin(role[each.index], roles))
        for roles in ([Role.TRAIN, Role.EARLIER], [Role.VALIDATION])
    )
    rows = [each.samples.rows.take(part) for part in (train, validation)]
    inputs = [replace(part, x=part.x[:, places]) for part in rows]
    data = Dataset(spec, tuple(names[place] for place in places), *inputs)
    if len(np.unique(each.index[train])) < FEWEST or len(validation) < FEWEST // 4 or data.unmeasured:
        return None
    ridge = choose(data, PENALTIES, silent, design)
    levels = inputs[1].x[:, [data.last]] + ridge.change(inputs[1].x)
    errors = np.stack([mae(each, rows[1].y) for each in (levels, _seasonal(spec, names, rows[1].x))])
    return Part(*which, (which[1],), data, ridge, validation, errors, errors.argmin(axis=0))


def _input_places(spec: WindowSpec, names: Sequence[str]) -> Ints:
    """The features that the ridges see: all that is told of the target and the hour; of other columns the newest."""
    others = [column for column in spec.inputs if column != spec.target]
    newest = {f"{column}_{name}" for column in others for name in ("lag0", "age")}
    newest |= {f"near_{column}_lag0" for column in others}
    newest |= {*ahead.names(spec)}
    about = tuple(f"{prefix}{column}_" for column in others for prefix in ("", "near_"))
    return np.array([at for at, name in enumerate(names) if name in newest or not name.startswith(about)])


def _is_measured(spec: WindowSpec, names: Sequence[str], x: Floats) -> NDArray[np.bool_]:
    """Whether any other column was measured at the origins (n,)."""
    _, extent = age_and_extent(spec, names, x)
    return np.isin(extent, (2, 3))


def _season_places(spec: WindowSpec, names: Sequence[str]) -> list[int]:
    """Where the last season is, for each horizon."""
    return [list(names).index(f"{spec.target}_season{spec.season}_{horizon}") for horizon in spec.horizons]


def _seasonal(spec: WindowSpec, names: Sequence[str], x: Floats) -> Floats:
    """(n, H) the last season, or the newest value where it is missing."""
    before, last = x[:, _season_places(spec, names)], x[:, [list(names).index(f"{spec.target}_lag0")]]
    return np.where(np.isnan(before), last, before)


@dataclass(frozen=True)
class Bridged(Model[Parameters]):
    """`full` answers where the target was measured at the origin, else the ridge of its age's class."""

    full: Model[Any]
    bridge: Bridge

    kind = "bridged"
    title = "Model with bridges"
    description = "A model, and ridges for when its target is silent."
    parameters = Parameters

    @classmethod
    def fit(cls, data: Dataset, parameters: Parameters, log: Log) -> Self:
        raise AeroCastError("a model with bridges is made from a kind")

    def predict(self, x: Floats) -> Floats:
        spec, names, levels = self.bridge.spec, self.bridge.names, self.full.predict(x).copy()
        age, extent = age_and_extent(spec, names, x)
        classes = np.searchsorted(self.bridge.since, age) - 1
        for part in self.bridge.parts:
            rows = (classes == part.number) & np.isin(extent // 2, part.answers) & np.isfinite(age)
            inputs = x[rows][:, self.bridge.places]
            own = inputs[:, [part.data.last]] + part.ridge.change(inputs)
            levels[rows] = np.select(
                [part.choice == SEASON, part.choice == MODEL], [_seasonal(spec, names, x[rows]), levels[rows]], own
            )
        return levels

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.models.kinds._onnx import GraphBuilder

        builder, bridge = GraphBuilder(), self.bridge
        full = builder.include(self.full.to_onnx(), "full")
        changes = builder.include(self._changes(), "bridge", builder.columns("features", bridge.places))
        parts, horizons = len(bridge.parts), len(bridge.spec.horizons)
        mask = self._mask(builder)
        changes = builder.op("Reshape", changes, builder.constant([0, parts, horizons]))
        own = builder.op("Mul", changes, builder.op("Unsqueeze", mask, builder.constant([2])))
        last = builder.columns("features", [bridge.names.index(f"{bridge.spec.target}_lag0")])
        own = builder.op("Add", builder.op("ReduceSum", own, builder.constant([1]), keepdims=0), last)
        before = builder.columns("features", _season_places(bridge.spec, bridge.names))
        before = builder.op("Where", builder.op("IsNaN", before), last, before)
        for which, other in ((SEASON, before), (MODEL, full)):
            choices = np.array([1.0 * (part.choice == which) for part in bridge.parts])
            is_chosen = builder.op("MatMul", mask, builder.constant(choices))
            own = builder.op("Where", builder.op("Greater", is_chosen, builder.constant(0.5)), other, own)
        is_silent = builder.op("ReduceSum", mask, builder.constant([1]), keepdims=1)
        is_silent = builder.op("Greater", is_silent, builder.constant(0.5))
        builder.op("Where", is_silent, own, full, output="forecast")
        return builder.model(len(bridge.names), horizons)

    def _changes(self) -> onnx.ModelProto:
        """The graph of all ridges' changes, side by side: they share their design."""
        from aerocast.models.kinds._onnx import GraphBuilder

        ridges, builder = [part.ridge for part in self.bridge.parts], GraphBuilder()
        weights, bias = (
            np.concatenate(each, axis=-1) for each in zip(*((r.weights, r.bias) for r in ridges), strict=True)
        )
        changes = Ridge(ridges[0].design, weights, bias).to_graph(builder)
        builder.op("Identity", changes, output="forecast")
        return builder.model(len(self.bridge.places), len(bias))

    def _mask(self, graph: GraphBuilder) -> str:
        """(n, parts): 1 for the part that answers a row; no part answers one whose target was measured."""
        bridge, spec = self.bridge, self.bridge.spec
        ends = (*bridge.since[1:], np.inf)
        above, below = (
            np.array([[float(ages[part.number]) for part in bridge.parts]]) for ages in (bridge.since, ends)
        )
        age = graph.columns("features", [bridge.names.index(f"{spec.target}_age")])
        others = [bridge.names.index(f"{column}_age") for column in spec.inputs if column != spec.target]
        masks = [graph.op("Greater", age, graph.constant(above)), graph.op("LessOrEqual", age, graph.constant(below))]
        masks = [graph.op("Cast", each, to=1) for each in masks]
        unmeasured, measured = (
            graph.constant(np.array([[1.0 * (kind in part.answers) for part in bridge.parts]]))
            for kind in (False, True)
        )
        if others:
            zero = graph.op("Equal", graph.columns("features", others), graph.constant(0.0))
            is_known = graph.op("ReduceMax", graph.op("Cast", zero, to=1), graph.constant([1]), keepdims=1)
            unknown = graph.op("Sub", graph.constant(1.0), is_known)
            masks.append(graph.op("Add", graph.op("Mul", measured, is_known), graph.op("Mul", unmeasured, unknown)))
        else:
            masks.append(unmeasured)
        return graph.op("Mul", graph.op("Mul", masks[0], masks[1]), masks[2])


def measure(
    spec: WindowSpec,
    silent_rows: Sequence[Silence],
    role: NDArray[np.str_],
    levels_of: Callable[[Floats], Floats],
    intervals: Intervals,
    widen: Sequence[Sequence[float]],
) -> Outages | None:
    """Factors of each class, 1 or more a horizon, from calibration rows; None where a class has too few.

    `levels_of` gives the graph's forecasts; `widen` (K, H) are factors for what these rows cannot show. What is silent
    in too few rows has the widest factor of the others.
    """
    factors = []
    for each, further in zip(silent_rows, widen, strict=True):
        own, names = each.take(role == Role.CALIBRATION), each.samples.names
        if not len(own.x):
            return None
        levels, (_, extent) = levels_of(own.x), age_and_extent(spec, names, own.x)
        scores = intervals.excess(levels, own.y, own.x, names)
        parts = [scores[extent == which] for which in range(EXTENTS)]
        enough = [(np.isfinite(part).sum(axis=0) >= FEWEST // 4).all() for part in parts]
        quantiles = [conformal(part, intervals.level) if own else None for part, own in zip(parts, enough, strict=True)]
        able = [one for one in quantiles if one is not None]
        if not able:
            return None
        widest = np.max(able, axis=0)
        table = [np.maximum(1, (widest if one is None else one) * further) for one in quantiles]
        factors.append(tuple(tuple(row.tolist()) for row in table))
    return Outages(tuple(each.oldest for each in silent_rows), tuple(factors))
