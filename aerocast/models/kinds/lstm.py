"""As `gru`, with a unit of long short-term memory."""

from dataclasses import dataclass

from aerocast.models.kinds.gru import Gru


@dataclass(frozen=True)
class Lstm(Gru):
    kind = "lstm"
    title = "LSTM"
    description = "An LSTM over the newest steps beside a linear path over all features; trained on CUDA where present."
