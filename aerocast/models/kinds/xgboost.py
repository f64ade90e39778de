"""Boosted trees on the change, two models a horizon, blended with ridge by weights that validation rows choose.

Deep trees find what bends, shallow ones and ridge carry what is straight and far: a day ahead, where independent cases
are few, their mean beats each. Rounds come from early stopping.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from aerocast.feed.model_kind import Count, Log, Model, Parameters, Positive, Search, silent
from aerocast.models.kinds.linear import LinearParameters

if TYPE_CHECKING:
    import onnx

    from aerocast.features.dataset import Dataset, Rows
    from aerocast.features.grid import Floats
    from aerocast.models.kinds._ridge import Ridge
    from aerocast.models.kinds._trees import Trees


class XgboostParameters(Parameters):
    """Boosted trees, one model for each horizon, blended with ridge."""

    rounds: Count = Field(default=600, description="Most boosting rounds")
    patience: Count = Field(default=40, description="Rounds without a better validation error until boosting stops")
    rate: Annotated[float, Search(0.02, 0.3, log=True)] = Field(
        default=0.08, gt=0, le=1, description="Learning rate (eta)"
    )
    depth: Annotated[Count, Search(3, 10)] = Field(default=6, description="Depth of the sharp trees")
    calm_depth: Annotated[Count, Search(2, 5)] = Field(
        default=3, description="Depth of the calm trees, which see no single lags"
    )
    rows: Annotated[float, Search(0.4, 1.0)] = Field(
        default=0.7, gt=0, le=1, description="Share of the rows that a round sees (subsample)"
    )
    columns: Annotated[float, Search(0.1, 1.0)] = Field(
        default=0.3, gt=0, le=1, description="Share of the features that a tree sees"
    )
    leaf: Annotated[Positive, Search(2, 200, log=True)] = Field(
        default=20.0, description="Least weight in a leaf (min_child_weight); five times as much in calm trees"
    )
    threads: Count | None = Field(
        default=None,
        description="Boosters that grow side by side, one a core by default; the trees are the same",
        examples=[1],
    )


@dataclass(frozen=True)
class Xgboost(Model[XgboostParameters]):
    sharp: tuple[Trees, ...]
    calm: tuple[Trees, ...]
    ridge: Ridge
    weights: Floats  # (3, H): of sharp trees, calm trees and ridge
    last: int
    threads: int | None

    kind = "xgboost"
    title = "Boosted trees"
    description = "Trees for what bends, blended with ridge for what is straight."
    loss = "blend_rmse"
    parameters = XgboostParameters
    is_seeded = True

    @classmethod
    def fit(cls, data: Dataset, parameters: XgboostParameters, log: Log) -> Self:
        """Early-stops the trees of each horizon on validation rows, and weighs them against ridge there."""
        from aerocast.models.kinds import _ridge, _trees

        sharp, calm = _trees.grow(data, parameters, log)
        ridge = _ridge.choose(data, LinearParameters().penalties, silent)
        horizons, x = data.spec.horizons, data.validation.x
        parts = [_trees.predict(sharp, x), _trees.predict(calm, x), ridge.change(x)]
        weights, loss = _trees.blend(parts, data.change(data.validation), data.spec)
        for name, values in ((cls.loss, loss), *zip(("sharp_share", "calm_share"), weights, strict=False)):
            log(parameters.rounds, {f"{name}_{horizon}": float(values[at]) for at, horizon in enumerate(horizons)})
        return cls(sharp, calm, ridge, weights, data.last, parameters.threads)

    def refit(self, data: Dataset, rows: Rows) -> Self:
        from aerocast.models.kinds import _trees

        trees, half = _trees.regrow((*self.sharp, *self.calm), data, rows, self.threads), len(self.sharp)
        return replace(self, sharp=trees[:half], calm=trees[half:], ridge=self.ridge.refit(data, rows))

    def predict(self, x: Floats) -> Floats:
        from aerocast.models.kinds import _trees

        parts = [_trees.predict(self.sharp, x), _trees.predict(self.calm, x), self.ridge.change(x)]
        return x[:, [self.last]] + _trees.mixture(parts, self.weights)

    def decisive(self, at: int) -> tuple[int, ...]:
        return self.sharp[at].by_gain()

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.models.kinds._onnx import GraphBuilder

        graph = GraphBuilder()
        parts = [
            graph.op("Concat", *[each.to_graph(graph) for each in trees], axis=1) for trees in (self.sharp, self.calm)
        ]
        parts.append(self.ridge.to_graph(graph))
        shares = [
            graph.op("Mul", part, graph.constant(weight)) for part, weight in zip(parts, self.weights, strict=True)
        ]
        change = graph.op("Sum", *shares)
        graph.op("Add", change, graph.columns("features", [self.last]), output="forecast")
        return graph.model(len(self.ridge.design.mean), self.weights.shape[1])
