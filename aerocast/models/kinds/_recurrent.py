"""Defines and trains the nets behind `gru` and `lstm`, as torch modules.

Each horizon is stopped at its own best epoch on validation rows, measured on averaged weights (Polyak and Juditsky
1992), for the net overfits a day ahead long before an hour ahead. Then `members` nets of different seeds are trained
that long on train and validation rows; the graph holds them all and gives their mean. The units are of Cho et al. 2014
and of Hochreiter and Schmidhuber 1997.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aerocast.features.dataset import Dataset, Rows
from aerocast.features.grid import Floats
from aerocast.features.lags import near_lags
from aerocast.feed.model_kind import Log
from aerocast.models.kinds._ridge import CLIP, Design

if TYPE_CHECKING:
    import onnx

    from aerocast.models.kinds.gru import RecurrentParameters

AVERAGE = 0.99  # decay of the averaged weights, a step
CLIP_NORM = 1.0
Unit = Callable[..., nn.RNNBase]
UNITS: dict[str, Unit] = {"gru": nn.GRU, "lstm": nn.LSTM}  # by kind


class Scaling(nn.Module):
    """Raw features to (n, F + flags) without NaN: the design of `linear`, as torch."""

    mean: Tensor
    scale: Tensor
    flags: Tensor

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(design.mean))
        self.register_buffer("scale", torch.from_numpy(design.scale))
        self.register_buffer("flags", torch.tensor(design.flags, dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        absent = torch.isnan(features)
        z = torch.clamp((features - self.mean) / self.scale, -CLIP, CLIP)
        z = torch.where(absent, torch.zeros_like(z), z)
        return torch.cat([z, absent[:, self.flags].to(z.dtype)], dim=1)


class Net(nn.Module):
    """A recurrent layer over (steps, inputs), its end state joined to all scaled features; (n, H) scaled changes."""

    sequence: Tensor

    def __init__(
        self, unit: Unit, sequence: Tensor, width: int, horizons: int, params: RecurrentParameters, dropout: float
    ) -> None:
        super().__init__()
        self.register_buffer("sequence", sequence)  # (steps, inputs) columns of the features, oldest first
        self.recurrent = unit(sequence.shape[1], params.hidden, batch_first=True)
        self.straight = nn.Linear(width, horizons)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(params.hidden + width, params.head),
            nn.SiLU(),
            nn.Dropout(2 * dropout),
            nn.Linear(params.head, horizons),
        )
        # It starts as persistence: every change is 0.
        for parameter in (*self.straight.parameters(), *self.head[-1].parameters()):
            nn.init.zeros_(parameter)

    def forward(self, z: Tensor) -> Tensor:
        steps, inputs = self.sequence.shape
        series = torch.index_select(z, 1, self.sequence.flatten()).reshape(-1, steps, inputs)
        states, _ = self.recurrent(series)
        state = torch.cat([states[:, -1], z], dim=1)
        out: Tensor = self.straight(z) + self.head(state)
        return out


class Ensemble(nn.Module):
    """Levels (n, H) from raw features: mean of the nets, each asked only for the horizons that it was kept for."""

    unit: Tensor
    masks: Tensor

    def __init__(self, scaling: Scaling, nets: Sequence[Net], masks: Tensor, unit: Tensor, last: int) -> None:
        super().__init__()
        self.scaling, self.nets, self.last = scaling, nn.ModuleList(nets), last
        self.register_buffer("masks", masks / masks.sum(dim=0))  # (nets, H)
        self.register_buffer("unit", unit)

    def forward(self, features: Tensor) -> Tensor:
        z = self.scaling(features)
        change = torch.stack([net(z) for net in self.nets]) * self.masks[:, None]
        return features[:, self.last : self.last + 1] + change.sum(dim=0) * self.unit

    def predict(self, x: Floats) -> Floats:
        with torch.inference_mode():
            parts = [self(torch.from_numpy(x[at : at + 8192])).numpy() for at in range(0, len(x), 8192)]
        return np.concatenate(parts)

    def to_onnx(self, features: int) -> onnx.ModelProto:
        import onnx

        # The exporter specialises a batch of 1, so the example has 2 rows.
        example = torch.zeros(2, features)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns of its own internals, nothing that a reader can act on
            program = torch.onnx.export(
                self,
                (example,),
                dynamo=True,
                input_names=["features"],
                output_names=["forecast"],
                dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
                verbose=False,
            )
        assert program is not None
        file = io.BytesIO()
        onnx.save(program.model_proto, file)
        return onnx.load_from_string(file.getvalue())


@dataclass(frozen=True)
class _Batches:
    """Scaled rows and changes on the device, with a mask of the changes that are known."""

    z: Tensor
    target: Tensor
    mask: Tensor

    @classmethod
    def of(cls, data: Dataset, rows: Rows, scaling: Scaling, unit: Tensor, device: torch.device) -> _Batches:
        change = torch.from_numpy(data.change(rows)).to(device) / unit.to(device)
        some = (~torch.isnan(change)).any(dim=1)
        z = scaling(torch.from_numpy(rows.x).to(device))[some]
        return cls(z, torch.nan_to_num(change[some]), ~torch.isnan(change[some]))

    def loss(self, net: nn.Module, rows: Tensor | slice) -> Tensor:
        """(H,) mean squared scaled errors of known outcomes."""
        error = (net(self.z[rows]) - self.target[rows]) ** 2 * self.mask[rows]
        mean: Tensor = error.sum(dim=0) / self.mask[rows].sum(dim=0).clamp(min=1)
        return mean


def train(data: Dataset, unit: Unit, params: RecurrentParameters, log: Log) -> Ensemble:
    """Find each horizon's best epoch on validation rows, then train the members that long on all rows."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(params.threads)
    try:
        return _fit(data, unit, params, log, device)
    finally:
        torch.set_num_threads(threads)


def _fit(data: Dataset, unit: Unit, params: RecurrentParameters, log: Log, device: torch.device) -> Ensemble:
    scaling = Scaling(_design(data, params)).to(device)
    size = torch.from_numpy(np.nanstd(data.change(data.train), axis=0).clip(1e-6))
    validation = _Batches.of(data, data.validation, scaling, size, device)
    rows = _Batches.of(data, data.train, scaling, size, device)
    groups = _groups(data, params)
    best = [_search(data, unit, params, group, rows, validation, size, log) for group in groups]
    rows = _Batches.of(data, data.both(), scaling, size, device)
    nets, masks = [], []
    for member in range(params.members):
        for group, epochs in zip(groups, best, strict=True):
            for epoch, net in _train(data, unit, params, group, rows, params.seed + 1 + member, max(epochs.values())):
                if epoch in epochs.values():
                    nets.append(net.cpu())
                    masks.append([float(epochs.get(at) == epoch) for at in range(len(size))])
        log(params.epochs + member, {"members_trained": float(member + 1)})
    return Ensemble(scaling.cpu(), nets, torch.tensor(masks), size, data.last).eval()


def _design(data: Dataset, params: RecurrentParameters) -> Design:
    """How features are scaled: by their deviations, or by their extremes on training rows."""
    design = Design.of(data.names, data.train.x)
    if params.scaling == "standard":
        return design
    low, high = (np.nan_to_num(each(data.train.x, axis=0)) for each in (np.fmin.reduce, np.fmax.reduce))
    return replace(design, mean=low, scale=np.where(high - low > 1e-6, high - low, np.float32(1)))


@dataclass(frozen=True)
class _Group:
    """Horizons that share nets, by index, and those nets' dropout: a day ahead needs more of it than an hour ahead."""

    at: tuple[int, ...]
    dropout: float


def _groups(data: Dataset, params: RecurrentParameters) -> list[_Group]:
    horizons = data.spec.horizons
    near = tuple(at for at, horizon in enumerate(horizons) if horizon < params.calm_from)
    far = tuple(at for at in range(len(horizons)) if at not in near)
    groups = [_Group(near, params.dropout), _Group(far, params.calm_dropout)]
    return [group for group in groups if group.at]


def _search(
    data: Dataset,
    unit: Unit,
    params: RecurrentParameters,
    group: _Group,
    rows: _Batches,
    validation: _Batches,
    size: Tensor,
    log: Log,
) -> dict[int, int]:
    """Best epoch on validation rows of each of the group's horizons, by index."""
    losses: list[NDArray[Any]] = []
    best: dict[int, int] = {}
    for epoch, net in _train(data, unit, params, group, rows, params.seed, params.epochs):
        with torch.inference_mode():
            losses.append((validation.loss(net, slice(None)).sqrt().cpu() * size).numpy())
        log(epoch, {f"validation_rmse_{data.spec.horizons[at]}": float(losses[-1][at]) for at in group.at})
        best = {at: int(np.argmin(np.array(losses)[:, at])) for at in group.at}
        if epoch - max(best.values()) >= params.patience:
            break
    return best


def _train(
    data: Dataset, unit: Unit, params: RecurrentParameters, group: _Group, rows: _Batches, seed: int, epochs: int
) -> Iterator[tuple[int, Net]]:
    """Yields (epoch, averaged net in eval mode) after each epoch; the same seed gives the same nets."""
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    width, horizons = rows.z.shape[1], rows.target.shape[1]
    net = Net(unit, _sequence(data, params.steps), width, horizons, params, group.dropout).to(rows.z.device)
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=params.rate, weight_decay=params.decay)
    step = 0
    for epoch in range(epochs + 1):
        net.train()
        for batch in torch.split(torch.randperm(len(rows.z), generator=order), params.batch):
            step += 1
            for settings in optimiser.param_groups:
                settings["lr"] = params.rate * min(1.0, step / 100)
            optimiser.zero_grad()
            torch.autograd.backward(rows.loss(net, batch.to(rows.z.device)).mean())
            nn.utils.clip_grad_norm_(net.parameters(), CLIP_NORM)
            optimiser.step()
            decay = min(AVERAGE, 1 - 1 / (step + 1))
            with torch.no_grad():
                for mean, fresh in zip(average.parameters(), net.parameters(), strict=True):
                    mean.lerp_(fresh, 1 - decay)
        yield epoch, copy.deepcopy(average).eval()


def _sequence(data: Dataset, steps: int) -> Tensor:
    """(steps, inputs) columns of the features, oldest first: the inputs that have all the newest lags."""
    column = {name: index for index, name in enumerate(data.names)}
    lags = near_lags(data.spec)[:steps][::-1]
    inputs = [name for name in data.spec.inputs if all(f"{name}_lag{lag}" in column for lag in lags)]
    return torch.tensor([[column[f"{name}_lag{lag}"] for name in inputs] for lag in lags])
