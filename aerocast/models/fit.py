"""One fit of a model: its rows, its errors on validation rows, and the graph that gives its forecasts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from aerocast.features.dataset import Dataset, Rows
from aerocast.features.grid import Floats, Ints
from aerocast.feed.model_kind import Model
from aerocast.models.clipping import clip, clip_graph


@dataclass(frozen=True)
class Fit:
    """A model, the rows (by index) that it was fitted on, and its errors on validation rows it had not seen then.

    Its forecasts stay within `bounds`.
    """

    model: Model[Any]
    data: Dataset
    rows: Ints
    metrics: dict[str, float]
    loss: str
    bounds: tuple[float, float]

    def error(self, horizon: int) -> float:
        """RMSE on validation rows."""
        return self.metrics[f"{self.loss}_{horizon}"]

    def levels(self, x: Floats) -> Floats:
        """Forecasts (n, H) of feature rows (n, F), as the graph gives them."""
        return clip(self.model.predict(x), self.bounds)

    def again(self, rows: Rows) -> Fit:
        """The same choices, fitted on other rows."""
        return replace(self, model=self.model.refit(self.data, rows))

    def export(self) -> bytes:
        """The ONNX graph."""
        data: bytes = clip_graph(self.model.to_onnx(), self.bounds).SerializeToString()
        return data
