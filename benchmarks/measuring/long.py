"""The usual protocol of long-horizon forecasts on ETTh1, by the platform's own functions.

Seven channels as seven stations of one feed, z-scored by the train rows 0..8640; validation rows reach to 11520, test
rows to 14400. Every window whose targets lie in a part counts, one step apart; what lies before the part may be looked
back to (Zhou et al. 2021).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aerocast.features import profile
from aerocast.features.dataset import Dataset, Rows
from aerocast.features.features import features, select
from aerocast.features.grid import Floats, Grid, Ints, WindowSpec
from aerocast.features.windows import targets
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import model
from aerocast.models.inference import forecast
from measuring.series import DATA, declare

KIND, SEASON = "long_linear", 24
START, HOUR = np.datetime64("2016-07-01", "s"), np.timedelta64(1, "h")


@dataclass(frozen=True)
class Parts:
    """Where the train, validation and test rows of a recording end."""

    train: int = 8640
    validation: int = 11_520
    test: int = 14_400


@dataclass(frozen=True)
class Protocol:
    """A recording `values` (T, C), z-scored, and the feed that is declared around it."""

    feed: Feed
    spec: WindowSpec
    values: Floats
    parts: Parts

    @classmethod
    def of(cls, values: NDArray[np.float64], horizon: int, seasons: int, parts: Parts) -> "Protocol":
        """Of raw channels (T, C): forecasts of each of the next `horizon` steps, from so many `seasons` of a day."""
        past = values[: parts.train]
        scaled = ((values - past.mean(axis=0)) / past.std(axis=0)).astype(np.float32)[: parts.test]
        feed = long_feed(values.shape[1], horizon, seasons)
        return cls(feed, WindowSpec.of(feed, "y"), scaled, parts)

    @property
    def names(self) -> tuple[str, ...]:
        return names(self.spec)

    def rows(self, start: int, stop: int) -> Rows:
        """Every channel's rows with a first target from `start` on and before `stop`; later targets are missing."""
        origins = np.arange(max(start - 1, self.spec.look_back - 1), stop - 1)
        values = self.values[:stop]
        return channel_rows(self.spec, values, np.zeros_like(values), origins)

    def errors(self, rows: Rows, levels: Floats, horizons: tuple[int, ...]) -> dict[int, float]:
        """MSE over channels, windows and the steps up to each of the `horizons`."""
        squares = (rows.y - levels).astype(np.float64) ** 2
        whole = {horizon: np.isfinite(rows.y[:, horizon - 1]) for horizon in horizons}
        return {horizon: float(squares[keep, :horizon].mean()) for horizon, keep in whole.items()}


def long_feed(channels: int, horizon: int, seasons: int) -> Feed:
    """Channels as stations: forecasts of each of the next `horizon` hours, from so many `seasons` of a day."""
    return declare(
        "long",
        {"y": ("1", -100.0, 100.0)},
        "y",
        horizons=range(1, horizon + 1),
        look_back=seasons * SEASON,
        block=f"P{-(-5 * horizon // 4 // SEASON) + 1}D",
        kind=KIND,
        stations=[{"id": f"c{channel}"} for channel in range(channels)],
        window={"steps": 2, "columns": ["y"], "look_back": seasons * SEASON, "profile": seasons},
    )


def names(spec: WindowSpec) -> tuple[str, ...]:
    """What the kind looks at, alone: hundreds of horizons have thousands of features of their own."""
    return ("y_lag0", *profile.names(spec))


def channel_rows(spec: WindowSpec, values: Floats, age: Floats, origins: Ints) -> Rows:
    """Rows at `origins` of each channel of `values` (T, C), one channel after the other; `age` is as a grid's."""
    x, y, only = [], [], select(spec, names(spec))
    for channel in range(values.shape[1]):
        time = START + np.arange(len(values)) * HOUR
        grid = Grid(f"c{channel}", time, ("y",), values[:, [channel]], age[:, [channel]])
        x.append(features(spec, grid, origins, only=only))
        y.append(targets(spec, grid, origins))
    return Rows(np.concatenate(x), np.concatenate(y))


def measure(protocol: Protocol, horizons: tuple[int, ...]) -> Mapping[str, dict[int, float]]:
    """MSE to each of the `horizons`: naive forecasts, and the kind fitted on train rows and once more on all."""
    parts, spec = protocol.parts, protocol.spec
    train, validation = protocol.rows(0, parts.train), protocol.rows(parts.train, parts.validation)
    data = Dataset(spec, protocol.names, train, validation)
    fitted = model(KIND).learn(data, protocol.feed.candidates[KIND])
    refitted = fitted.refit(data, protocol.rows(0, parts.validation))
    test = protocol.rows(parts.validation, parts.test)
    ours = {"ours, train rows": fitted, "ours, refitted": refitted}
    levels = naive(protocol, test)
    levels |= {label: forecast(each.to_onnx().SerializeToString(), test.x, data.names) for label, each in ours.items()}
    chosen = protocol.errors(validation, fitted.predict(validation.x), horizons)
    return {"ours, validation": chosen} | {
        label: protocol.errors(test, each, horizons) for label, each in levels.items()
    }


def naive(protocol: Protocol, rows: Rows) -> dict[str, Floats]:
    """The newest value, and the newest day, again and again."""
    last, count = rows.x[:, [0]], len(protocol.spec.horizons)
    day = [SEASON - 1 - step % SEASON for step in range(count)]
    newest = np.hstack([last, last + rows.x[:, 1:SEASON]])
    return {"persistence": np.repeat(last, count, axis=1), "seasonal naive": newest[:, day]}


def etth1() -> NDArray[np.float64]:
    """The seven channels (17420, 7)."""
    return pd.read_csv(DATA / "ett" / "ETTh1.csv").iloc[:, 1:].to_numpy(dtype=np.float64)
