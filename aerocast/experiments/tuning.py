"""Looks for better parameters of a kind, in folds that end before the rows that judge a candidate.

A trial trains the kind with other parameters for each fold, as a candidate is trained, and has the composite error of
`aerocast.promotion.scoring` on its rows, in units of persistence's. Trials are those of optuna's sampler (TPE: Bergstra
et al. 2011) and stand in a journal, so that a study goes on where it was killed. Each is drawn with a seed of its own
from the trials that are finished, so a study that was killed and one that was not make the same trials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from aerocast.common.errors import AeroCastError
from aerocast.common.times import from_numpy
from aerocast.common.words import count
from aerocast.experiments.folds import Fold, folds
from aerocast.features.dataset import mae, rmse
from aerocast.features.grid import Floats, WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import Parameters, Search, model, silent
from aerocast.models.trainer import fit_twice, of_kind, split_samples
from aerocast.promotion.scoring import composite
from aerocast.tables.training import Samples

if TYPE_CHECKING:
    import optuna

Values: TypeAlias = dict[str, float | int]
STARTS = 10  # trials at random before the sampler learns from them
DIGITS = 3  # of a value: what is copied into a declaration is what was tried
DECLARED = "declared"


class Trial(msgspec.Struct, frozen=True):
    """Parameters and their errors, fold by fold."""

    values: Values
    errors: tuple[float, ...]

    @property
    def error(self) -> float:
        return float(np.mean(self.errors))


class Study(msgspec.Struct, frozen=True):
    """What became of a kind: the declared parameters, and the trials, the best first.

    Its folds' rows are origins from `start` to `end`; what judges candidates begins later.
    """

    kind: str
    declared: Trial
    trials: tuple[Trial, ...]
    time: timedelta
    start: datetime
    end: datetime

    @property
    def best(self) -> Trial:
        """What to declare: the declared parameters, unless a trial has less error."""
        return min((self.declared, *self.trials[:1]), key=lambda each: each.error)

    @property
    def sentence(self) -> str:
        """What is proposed, and by what evidence."""
        number = f"{count(len(self.trials), 'trial')} over {count(len(self.declared.errors), 'fold')}"
        span = f"{self.start:%Y-%m-%d} to {self.end:%Y-%m-%d}"
        if self.best == self.declared:
            return f"{number} from {span} have found nothing better than what is declared"
        pairs = zip(self.best.errors, self.declared.errors, strict=True)
        wins, gain = sum(one < other for one, other in pairs), 1 - self.best.error / self.declared.error
        return (
            f"{number} from {span}: composite error {self.best.error:.4f} against {self.declared.error:.4f} of what is"
            f" declared, {gain:.1%} less, and less in {wins} of {count(len(self.declared.errors), 'fold')}. The best of"
            " many on the same rows flatters: declare it, and let a backtest and the trial judge"
        )


def rows_before_judging(feed: Feed, spec: WindowSpec, samples: Samples) -> Samples:
    """The rows whose outcomes are known before those begin that judge candidates.

    Raises:
        AeroCastError: the span is too short to hold every role.
    """
    return samples.take(split_samples(feed, spec, samples).before_test(samples.time))


def tune(feed: Feed, spec: WindowSpec, samples: Samples, kind: str, journal: Path, say: Callable[[str], None]) -> Study:
    """Goes on with the study in `journal` until its budget is spent. Of `samples` only `rows_before_judging` are seen.

    Raises:
        AeroCastError: optuna is not installed, there is too little data, or a parameter is wrong.
    """
    past = rows_before_judging(feed, spec, samples)
    parts = folds(feed.split, spec, past.time, feed.tuning)
    study = _open(journal)
    if DECLARED not in study.user_attrs:
        study.set_user_attr(DECLARED, errors(feed, spec, past, parts, kind, {}))
    declared = Trial(_declared(feed, kind), tuple(study.user_attrs[DECLARED]))
    budget, searches = feed.tuning.budget, model(kind).searches()
    while len(trials := _finished(study)) < feed.tuning.trials and (budget is None or _time(trials) < budget):
        study.sampler = _sampler(feed.tuning.seed + len(trials))
        trial = study.ask()
        own = Trial(_draw(trial, kind, searches), ())
        own = Trial(own.values, tuple(errors(feed, spec, past, parts, kind, own.values)))
        trial.set_user_attr("values", own.values)
        trial.set_user_attr("errors", own.errors)
        study.tell(trial, own.error)
        say(f"{kind}: trial {len(trials) + 1} has error {own.error:.4f}, the declared one {declared.error:.4f}")
    made = [Trial(each.user_attrs["values"], tuple(each.user_attrs["errors"])) for each in trials]
    start, end = (from_numpy(each) for each in (parts[0].cut.test, parts[-1].cut.end))
    return Study(kind, declared, tuple(sorted(made, key=lambda each: each.error)), _time(trials), start, end)


def errors(
    feed: Feed, spec: WindowSpec, samples: Samples, parts: Sequence[Fold], kind: str, values: Values
) -> list[float]:
    """The mean composite error over horizons on each fold's rows, with `values` in place of the declared ones."""
    feed = feed.model_copy(update={"candidates": {**feed.candidates, kind: {**feed.candidates[kind], **values}}})
    result = []
    for fold in parts:
        past, test = (
            of_kind(model(kind), spec, samples.take(rows(samples.time))) for rows in (fold.past, fold.judging)
        )
        _, final, _ = fit_twice(feed, kind, spec, past, fold.cut, fold.cut.of(past.time), silent)
        result.append(_composite(spec, final.levels(test.rows.x), test))
    return result


def _composite(spec: WindowSpec, forecast: Floats, test: Samples) -> float:
    last = test.rows.x[:, [test.names.index(f"{spec.target}_lag0")]]
    unit = np.maximum(rmse(np.broadcast_to(last, forecast.shape), test.rows.y), 1e-9)
    return float(np.mean(composite(rmse(forecast, test.rows.y) / unit, mae(forecast, test.rows.y) / unit)))


def _declared(feed: Feed, kind: str) -> Values:
    own: Parameters = model(kind).parse(feed.candidates[kind])
    return {name: getattr(own, name) for name in model(kind).searches()}


def _open(journal: Path) -> optuna.Study:
    """The study of a journal; trials that a process has left open, because it was killed, are closed."""
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise AeroCastError(f"tuning needs optuna, of the extra `tuning`: {error}") from error
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(storage=storage, study_name=journal.stem, load_if_exists=True)
    for each in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(each.number, state=TrialState.FAIL)
    return study


def _sampler(seed: int) -> optuna.samplers.TPESampler:
    import optuna

    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTS)


def _draw(trial: optuna.Trial, kind: str, searches: dict[str, Search]) -> Values:
    values: Values = {}
    for name, search in searches.items():
        if model(kind).parameters.model_fields[name].annotation is int:
            values[name] = trial.suggest_int(name, int(search.low), int(search.high), log=search.log)
        else:
            value = trial.suggest_float(name, search.low, search.high, log=search.log)
            values[name] = float(f"{value:.{DIGITS}g}")
    return values


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _time(trials: Sequence[Any]) -> timedelta:
    return sum((each.duration for each in trials), timedelta())
