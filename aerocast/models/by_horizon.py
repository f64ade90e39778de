"""Makes one candidate whose forecasts come from several: one graph, and each horizon with its own model's intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from aerocast.common.lineage import config_hash
from aerocast.contracts.cold_start import ColdStart
from aerocast.contracts.intervals import Intervals
from aerocast.contracts.outages import EXTENTS, Outages
from aerocast.contracts.quantile_trees import QuantileTrees
from aerocast.models.candidates import Candidate, Newest
from aerocast.models.one_graph import merge

# One word for a metric's label, which needs few values; which model serves which horizon is in the manifest.
KIND = "by_horizon"


def assemble(parts: Mapping[int, Candidate], names: Sequence[str]) -> Candidate:
    """One candidate whose forecast at each horizon is that of the candidate that stands there; it alone if all are one.

    `names` are all features of the window, in order.

    Raises:
        AeroCastError: their graphs cannot be one.
    """
    # By identity: an incumbent and a candidate may be of one training, and differ in what is known of it.
    models = list({id(each): each for each in parts.values()}.values())
    if len(models) == 1:
        return models[0]
    place_of = {id(each): place for place, each in enumerate(models)}
    sources = [place_of[id(each)] for each in parts.values()]
    features = tuple(name for name in names if any(name in each.features for each in models))
    newest = max(models, key=lambda each: each.end)
    return msgspec.structs.replace(
        newest,
        kind=KIND,
        graph=merge([(each.graph, each.features) for each in models], sources, features),
        newest=_newest(models, sources, tuple(parts), features),
        features=features,
        intervals=merge_intervals(tuple(parts), [each.intervals for each in models], sources),
        start=min(each.start for each in models),
        rows=max(each.rows for each in models),
        seconds=sum(each.seconds for each in models),
        validation=_errors(parts),
        config_hash=config_hash(parts={str(horizon): each.config_hash for horizon, each in parts.items()}),
        code_version=config_hash(parts=sorted(each.code_version for each in models)),
        mlflow_run_id="",
        model_uri="",
        since=max((each.since for each in models if each.since), default=None),
        # Rows can be read back by the features that were read: those of a model that sees them all.
        read=next((each.read for each in models if _reads_alike(each, newest) and each.features == features), None),
        parameters={f"{each.kind}.{name}": value for each in models for name, value in each.parameters.items()},
    )


def _newest(
    models: Sequence[Candidate], sources: Sequence[int], horizons: tuple[int, ...], features: Sequence[str]
) -> Newest:
    """What serves at each horizon, of several."""
    serving = [each.serving for each in models]
    return Newest(
        merge([(own.graph, each.features) for own, each in zip(serving, models, strict=True)], sources, features),
        merge_intervals(horizons, [each.intervals for each in serving], sources),
        max(each.end for each in serving),
        max(each.rows for each in serving),
    )


def _reads_alike(one: Candidate, other: Candidate) -> bool:
    return (one.data_version, one.delta_versions) == (other.data_version, other.delta_versions)


def merge_intervals(horizons: tuple[int, ...], parts: Sequence[Intervals], sources: Sequence[int]) -> Intervals:
    """Intervals that are at each horizon those of `parts[sources[place]]`; every part knows all horizons
    and the same quantiles.

    What a part does not say of stations that it has not learned, or of late covariates, another's factor stands for.
    """
    drivers = list(dict.fromkeys(driver for part in parts for driver in _drivers(part)))
    exponents = np.zeros((len(horizons), len(drivers)))
    for at, source in enumerate(sources):
        for driver, value in zip(_drivers(parts[source]), parts[source].exponents[at], strict=True):
            exponents[at, drivers.index(driver)] = value
    slopes = np.zeros((len(horizons), len(parts[0].levels), len(drivers)))
    for at, source in enumerate(sources):
        if parts[source].slopes:
            own = [drivers.index(driver) for driver in _drivers(parts[source])]
            slopes[at][:, own] = parts[source].slopes[at]
    return Intervals(
        level=parts[0].level,
        horizons=horizons,
        half=(),
        drivers=tuple(name for name, _, _ in drivers),
        mean=tuple(mean for _, mean, _ in drivers),
        scale=tuple(scale for _, _, scale in drivers),
        exponents=tuple(tuple(float(value) for value in row) for row in exponents),
        rows=min(part.rows for part in parts),
        lowest=parts[0].lowest,
        cold_start=_cold_start(parts, sources),
        late=_late(parts, sources),
        highest=parts[0].highest,
        quantiles=parts[0].levels,
        offsets=tuple(tuple(parts[source].usual()[at].tolist()) for at, source in enumerate(sources)),
        slopes=tuple(tuple(tuple(row) for row in each) for each in slopes.tolist()),
        outages=_outages(parts, sources),
        trees=_trees(parts, sources),
    )


def _drivers(part: Intervals) -> list[tuple[str, float, float]]:
    return list(zip(part.drivers, part.mean, part.scale, strict=True))


def _cold_start(parts: Sequence[Intervals], sources: Sequence[int]) -> ColdStart | None:
    """The factors of each horizon's own part; a baseline has none, and a part that learned knows how hard that is."""
    learned = [part.cold_start for part in parts if part.cold_start]
    if not learned:
        return None
    own = [parts[source].cold_start for source in sources]

    def factors(name: str) -> tuple[float, ...]:
        widest = [max(getattr(each, name)[at] for each in learned) for at in range(len(sources))]
        return tuple(getattr(each, name)[at] if each else widest[at] for at, each in enumerate(own))

    # A station that one part has not learned is new to the whole.
    stations = tuple(each for each in learned[0].stations if all(each in other.stations for other in learned))
    return ColdStart(stations, factors("none"), factors("short"), factors("whole"))


def _trees(parts: Sequence[Intervals], sources: Sequence[int]) -> tuple[QuantileTrees | None, ...]:
    own = [parts[source].trees[at] if parts[source].trees else None for at, source in enumerate(sources)]
    return tuple(own) if any(own) else ()


def _late(parts: Sequence[Intervals], sources: Sequence[int]) -> tuple[float, ...]:
    if not any(part.late for part in parts):
        return ()
    return tuple(parts[source].late[at] if parts[source].late else 1.0 for at, source in enumerate(sources))


def _outages(parts: Sequence[Intervals], sources: Sequence[int]) -> Outages | None:
    """The factors of each horizon's own part; None where one does not know what a silence costs, or classes differ."""
    own = [parts[source].outages for source in sources]
    first, able = own[0], [each for each in own if each]
    if first is None or any(each is None or each.ages != first.ages for each in own):
        return None
    factors = tuple(
        tuple(tuple(each.factors[k][extent][at] for at, each in enumerate(able)) for extent in range(EXTENTS))
        for k in range(len(first.ages))
    )
    return Outages(first.ages, factors)


def _errors(parts: Mapping[int, Candidate]) -> dict[str, float]:
    """Each horizon's errors on calibration rows, as its own candidate has them."""
    names = [(f"calibration_{error}_{horizon}", each) for horizon, each in parts.items() for error in ("rmse", "mae")]
    return {name: each.validation[name] for name, each in names if name in each.validation}
