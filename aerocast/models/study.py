"""What a training learns of silences of its target, and how its fits answer in one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.intervals import Intervals
from aerocast.contracts.outages import Outages
from aerocast.features.dataset import Dataset
from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.models import bridges, silence
from aerocast.models.fit import Fit
from aerocast.models.silence import Silence
from aerocast.models.splits import Cut
from aerocast.models.unseen import widening
from aerocast.tables.training import Samples


@dataclass(frozen=True)
class Study:
    """What the rows of a training say of silences, to every kind that sees the same.

    Rows as in a silence, by class of age; what bridges one, fitted on train rows and on all before the test span; and
    the factors of each class for weeks after the training span.
    """

    silences: tuple[Silence, ...]
    bridges: tuple[bridges.Bridge, bridges.Bridge] | None
    forward: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, feed: Feed, spec: WindowSpec, samples: Samples, role: NDArray[np.str_], plan: Cut, rows: str) -> Study:
        """Of the samples whose digest is `rows`; the newest is kept."""
        gaps = (*(feed.gap_of(name) for name in spec.inputs), feed.gap_policy.max_steps)
        key = (rows, spec, plan, gaps, feed.promotion.coverage)
        if key not in _studies:
            silences = tuple(silence.silences(feed, spec, samples))
            bridge = bridges.learn(spec, silences, role)
            both = (bridge, bridge.refit(silences, plan.before_test(samples.time))) if bridge else None
            forward = tuple(_forward(feed, spec, each, role, plan) for each in silences) if bridge else ()
            _studies.clear()
            _studies[key] = cls(silences, both, forward)
        return _studies[key]

    def bridge(
        self, fit: Fit, others: tuple[Fit, Fit], intervals: Intervals, role: NDArray[np.str_]
    ) -> tuple[tuple[Fit, Fit], Outages | None]:
        """Two other fits of the same choices with what answers while the target is silent, and how well it does.

        `fit` had not seen the rows that tell, and `intervals` are those of a target that is measured. As they are
        where too few rows tell.
        """
        if self.bridges is None:
            return others, None
        answers, ends = others, [(1.0,) * len(fit.data.spec.horizons)] * len(self.silences)
        if not fit.model.is_baseline:
            first = self.bridges[0].against(fit.model, self.silences)
            last = self.bridges[1].choosing_as(first)
            fit = replace(fit, model=first.beside(fit.model))
            one, other = (replace(each, model=last.beside(each.model)) for each in others)
            answers, ends = (one, other), [*self.forward]
        factors = bridges.measure(fit.data.spec, self.silences, role, fit.levels, intervals, ends)
        return (answers, factors) if factors else (others, None)


_studies: dict[Any, Study] = {}  # the newest alone: kinds of one target are trained one after the other


def _forward(feed: Feed, spec: WindowSpec, own: Silence, role: NDArray[np.str_], plan: Cut) -> tuple[float, ...]:
    """As `widening`, of one class of silences; without turning weights, which would take four fifths of the time."""
    still = own.samples.select([name for name in own.samples.names if not name.startswith("hour_")])
    return widening(feed, Dataset(spec, still.names, still.rows, still.rows), still, role[own.index], plan)
