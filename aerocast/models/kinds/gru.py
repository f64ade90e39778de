"""A recurrent net on the newest steps beside a linear path over all features; one output a horizon, on the change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from aerocast.feed.model_kind import Count, Log, Model, Parameters, Positive

if TYPE_CHECKING:
    import onnx

    from aerocast.features.dataset import Dataset
    from aerocast.features.grid import Floats
    from aerocast.models.kinds._recurrent import Ensemble


class GruParameters(Parameters):
    """A recurrent net over the newest steps; `members` nets of different seeds are averaged inside one graph.

    The head's second dropout is twice `dropout`; horizons from `calm_from` on come from nets with `calm_dropout`.
    """

    hidden: Count = 32
    head: Count = 64
    members: Count = 2
    epochs: Count = 14
    patience: Count = 3
    rate: Positive = 3e-3
    decay: Annotated[float, Field(ge=0)] = 0.05
    dropout: Annotated[float, Field(ge=0, lt=0.5)] = 0.15
    calm_dropout: Annotated[float, Field(ge=0, lt=0.5)] = 0.35
    calm_from: Count = 12
    batch: Annotated[int, Field(ge=2)] = 512
    threads: Count = 1


@dataclass(frozen=True)
class Gru(Model[GruParameters]):
    net: Ensemble
    features: int

    kind = "gru"
    title = "Recurrent net"
    description = "A GRU over the newest steps beside a linear path over all features; trained on CUDA where there is."
    parameters = GruParameters
    is_seeded = True

    @classmethod
    def fit(cls, data: Dataset, parameters: GruParameters, log: Log) -> Self:
        from aerocast.models.kinds._recurrent import train

        return cls(train(data, parameters, log), len(data.names))

    def predict(self, x: Floats) -> Floats:
        return self.net.predict(x)

    def to_onnx(self) -> onnx.ModelProto:
        return self.net.to_onnx(self.features)
