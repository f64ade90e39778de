"""`uvicorn measuring.eager:app`: a GRU answered by FastAPI and eager PyTorch, as the older systems served theirs.

The weights are not trained: what a forward pass costs does not depend on them.
"""

import torch
from fastapi import FastAPI
from pydantic import BaseModel

HIDDEN, HORIZONS = 64, 3
torch.set_num_threads(1)


class Sequence(BaseModel):
    """What a client sends."""

    sequence: list[list[float]]


class Forecast(BaseModel):
    """What it is answered."""

    predictions: list[float]


class Net(torch.nn.Module):
    """A GRU over the sequence, and a linear head on its last state."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(columns, HIDDEN, batch_first=True)
        self.head = torch.nn.Linear(HIDDEN, HORIZONS)

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        """(n, H) of (n, T, C)."""
        levels: torch.Tensor = self.head(self.gru(steps)[0][:, -1])
        return levels


app = FastAPI()
_nets: dict[int, Net] = {}


@app.get("/health")
def health() -> dict[str, str]:
    """Whether it runs."""
    return {"status": "ok"}


@app.post("/predict")
async def predict(body: Sequence) -> Forecast:
    """A forecast of the sequence."""
    columns = len(body.sequence[0])
    net = _nets.setdefault(columns, Net(columns).eval())
    with torch.no_grad():
        return Forecast(predictions=net(torch.tensor([body.sequence]))[0].tolist())
