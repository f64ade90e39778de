"""Boosted trees on the change, one model a horizon, blended with ridge by a weight that validation rows choose.

Trees find what bends, ridge carries what is straight and far: a day ahead, where independent cases are few, their mean
beats both. Rounds come from early stopping; the final trees are grown on train and validation rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pydantic import Field

from aerocast.feed.model_kind import Count, Log, Model, Parameters, Positive, silent
from aerocast.models.kinds.linear import LinearParameters

if TYPE_CHECKING:
    import onnx

    from aerocast.features.dataset import Dataset
    from aerocast.features.grid import Floats
    from aerocast.models.kinds._ridge import Ridge
    from aerocast.models.kinds._trees import Trees


class XgboostParameters(Parameters):
    """Boosted trees, one model for each horizon, blended with ridge."""

    rounds: Count = Field(default=600, description="Most boosting rounds")
    patience: Count = Field(default=40, description="Rounds without a better validation error until boosting stops")
    rate: float = Field(default=0.06, gt=0, le=1, description="Learning rate (eta)")
    depth: Count = Field(default=5, description="Depth of a tree")
    calm_depth: Count = Field(
        default=3, description="As `depth`, from `calm_from` on: so far ahead the data hold few independent cases"
    )
    calm_from: Count = Field(default=12, description="Steps ahead from which trees are shallow")
    rows: float = Field(default=0.7, gt=0, le=1, description="Share of the rows that a round sees (subsample)")
    columns: float = Field(default=0.3, gt=0, le=1, description="Share of the features that a tree sees")
    leaf: Positive = Field(
        default=20.0, description="Least weight in a leaf (min_child_weight); five times as much from `calm_from` on"
    )
    threads: Count = Field(default=1, description="Threads of one training")


@dataclass(frozen=True)
class Xgboost(Model[XgboostParameters]):
    trees: tuple[Trees, ...]
    ridge: Ridge
    weights: Floats  # (H,) share of the trees
    last: int

    kind = "xgboost"
    title = "Boosted trees"
    description = "Trees for what bends, blended with ridge for what is straight."
    loss = "blend_rmse"
    parameters = XgboostParameters
    is_seeded = True

    @classmethod
    def fit(cls, data: Dataset, parameters: XgboostParameters, log: Log) -> Self:
        """Early-stops each horizon on validation rows, weighs trees against ridge there, then fits both on all rows."""
        from aerocast.models.kinds import _ridge, _trees

        horizons = data.spec.horizons
        first = [_trees.search(data, parameters, at, log) for at in range(len(horizons))]
        ridge = _ridge.choose(data, LinearParameters().penalties, silent)
        x, target = data.validation.x, data.change(data.validation)
        weights, loss = _trees.blend(_trees.predict(first, x), ridge.model.change(x), target)
        for name, values in ((cls.loss, loss), ("trees_share", weights)):
            log(parameters.rounds, {f"{name}_{horizon}": float(values[at]) for at, horizon in enumerate(horizons)})
        final = [_trees.grow(data, parameters, at, trees) for at, trees in enumerate(first)]
        return cls(tuple(final), ridge.refit(data), weights, data.last)

    def predict(self, x: Floats) -> Floats:
        from aerocast.models.kinds import _trees

        change = self.weights * _trees.predict(self.trees, x) + (1 - self.weights) * self.ridge.change(x)
        return x[:, [self.last]] + change

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.models.kinds._onnx import GraphBuilder

        graph = GraphBuilder()
        boosters = graph.op("Concat", *[trees.to_graph(graph) for trees in self.trees], axis=1)
        straight = self.ridge.to_graph(graph)
        trees = graph.op("Mul", boosters, graph.constant(self.weights))
        ridge = graph.op("Mul", straight, graph.constant(1 - self.weights))
        change = graph.op("Add", trees, ridge)
        graph.op("Add", change, graph.columns("features", [self.last]), output="forecast")
        return graph.model(len(self.ridge.design.mean), len(self.weights))
