"""A recurrent net on the newest steps beside a linear path over all features; one output a horizon, on the change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field

from aerocast.feed.model_kind import Count, Log, Model, Parameters, Positive, Search

if TYPE_CHECKING:
    import onnx

    from aerocast.features.dataset import Dataset
    from aerocast.features.grid import Floats
    from aerocast.models.kinds._recurrent import Ensemble


class RecurrentParameters(Parameters):
    """A recurrent net over the newest steps, beside a linear path over all features."""

    hidden: Annotated[Count, Search(8, 96, log=True)] = Field(default=32, description="Width of the recurrent layer")
    head: Count = Field(default=64, description="Width of the layer behind it")
    members: Count = Field(default=2, description="Nets of different seeds that are averaged inside one graph")
    epochs: Count = Field(default=14, description="Most passes over the training rows")
    patience: Count = Field(default=3, description="Epochs without a better validation error until training stops")
    rate: Annotated[Positive, Search(5e-4, 1e-2, log=True)] = Field(default=3e-3, description="Learning rate of AdamW")
    decay: Annotated[float, Search(0.0, 0.3)] = Field(default=0.05, ge=0, description="Weight decay of AdamW")
    dropout: Annotated[float, Search(0.0, 0.45)] = Field(
        default=0.15, ge=0, lt=0.5, description="Dropout before the head; inside it twice as much"
    )
    calm_dropout: Annotated[float, Search(0.0, 0.45)] = Field(
        default=0.35, ge=0, lt=0.5, description="As `dropout`, for horizons from `calm_from` on"
    )
    calm_from: Count = Field(default=12, description="Steps ahead from which horizons have nets of their own")
    batch: int = Field(default=512, ge=2, description="Rows per training step")
    threads: Count = Field(default=1, description="Threads of one training")
    steps: Count = Field(default=12, description="Newest steps that the recurrent layer sees, 12 at most")
    scaling: Literal["standard", "minmax"] = Field(
        default="standard",
        description="How features are scaled on training rows: to mean 0 and deviation 1, or to 0 .. 1",
    )


@dataclass(frozen=True)
class Gru(Model[RecurrentParameters]):
    net: Ensemble
    features: int

    kind = "gru"
    title = "Recurrent net"
    description = "A GRU over the newest steps beside a linear path over all features; trained on CUDA where present."
    parameters = RecurrentParameters
    is_seeded = True

    @classmethod
    def fit(cls, data: Dataset, parameters: RecurrentParameters, log: Log) -> Self:
        from aerocast.models.kinds._recurrent import UNITS, train

        return cls(train(data, UNITS[cls.kind], parameters, log), len(data.names))

    def predict(self, x: Floats) -> Floats:
        return self.net.predict(x)

    def to_onnx(self) -> onnx.ModelProto:
        return self.net.to_onnx(self.features)
