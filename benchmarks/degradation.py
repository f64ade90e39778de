"""How good forecasts are while something is silent: a column, the target, a station, what is known ahead.

For each feed the platform's own functions train and release, on all but the newest fifth of the rows. On those rows a
server's own functions answer, from tails as silver would publish them had the readings not come: an input column is
gone, the target is silent for an hour, a day or a week, one station of several is silent, or a request brings nothing
that is known ahead. Each row of a table is a regime and a horizon: the share of forecasts for the very time asked for,
then of these MAE, that of seasonal naive (the last season that was measured; of several seasons the better) and of
persistence on the same rows, from what was measured outside the outage; the ratio to seasonal naive; coverage and mean
width of the 90 % interval. Targets: everything is answered, no ratio beyond 1, and coverage within 85 .. 95 %.

What has no number comes last, by the answers themselves: all is silent, the lake is out of reach, a server restarts
without a tail, a release is old. No seed: nothing here is drawn.
"""

import argparse
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import msgspec
import numpy as np
from litestar.exceptions import HTTPException
from measuring.degraded import Answers, Asker
from measuring.feeds import Prepared, prepare, prepare_series
from measuring.outages import regimes
from measuring.released import publish
from measuring.series import bikes, declare, marylebone
from measuring.table import show, verdict

from aerocast.common.times import from_numpy
from aerocast.contracts import tail
from serving import loading, predictor
from serving.hot_swap import ServingStore
from serving.loading import Served
from serving.predictor import Question
from serving.schemas import Prediction, PredictRequest

COVERAGE = (0.85, 0.95)
HEADER = ["regime", "h", "answered", "MAE", "seasonal", "persistence", "ratio", "coverage", "width"]


def shared_bikes() -> Prepared:
    columns = {"rentals": ("dimensionless", 0.0, 5000.0), "temperature": ("degC", -40.0, 60.0)}
    feed = declare(
        "bikes",
        columns,
        "rentals",
        seasons=["P1D", "P7D"],
        look_back=672,
        holidays="US-DC",
        known_ahead=("temperature",),
    )
    return prepare_series(feed, bikes())


def nitrogen_dioxide() -> Prepared:
    columns = {
        "no2": ("ppb", 0.0, 2000.0),
        "o3": ("ppb", 0.0, 1000.0),
        "ws": ("m/s", 0.0, 100.0),
        "air_temp": ("degC", -40.0, 50.0),
    }
    feed = declare("no2", columns, "no2", seasons=["P1D", "P7D"], look_back=168)
    return prepare_series(feed, marylebone())


FEEDS: Mapping[str, Callable[[], Prepared]] = {"noaa": prepare, "bikes": shared_bikes, "no2": nitrogen_dioxide}


def rows_of(answers: Answers, horizons: tuple[int, ...]) -> tuple[list[list[str]], bool]:
    """The lines of a regime, and whether its targets are reached."""
    lines, reached = [], True
    for at, horizon in enumerate(horizons):
        measured = np.isfinite(answers.actual[:, at])
        answered = np.isfinite(answers.level[:, at])
        rows = measured & answered & np.isfinite(answers.persistence[:, at])
        rows &= np.isfinite(answers.seasonal[:, at]).all(axis=1)
        share = float(answered[measured].mean())
        name = answers.regime.name if not at else ""
        if not rows.any():
            lines.append([name, str(horizon), f"{share:.0%}", *["-"] * 6])
            reached = False
            continue
        actual, level, lower, upper = (
            table[rows, at] for table in (answers.actual, answers.level, answers.lower, answers.upper)
        )
        ours, last = (float(np.mean(np.abs(each - actual))) for each in (level, answers.persistence[rows, at]))
        seasonal = float(np.abs(answers.seasonal[rows, at] - actual[:, None]).mean(axis=0).min())
        coverage, width = float(np.mean((lower <= actual) & (actual <= upper))), float(np.mean(upper - lower))
        is_good = share == 1 and ours <= seasonal and COVERAGE[0] <= coverage <= COVERAGE[1]
        reached &= is_good
        figures = [f"{ours:.2f}", f"{seasonal:.2f}", f"{last:.2f}", f"{ours / seasonal:.2f}", f"{coverage:.1%}"]
        lines.append([name, str(horizon), f"{share:.0%}", *figures, f"{width:.1f}{'' if is_good else ' !'}"])
    return lines, reached


def judge(name: str, asker: Asker, only: str) -> bool:
    """Prints a feed's table."""
    spec, lines, reached = asker.prepared.spec, list[list[str]](), True
    for regime in regimes(spec):
        if only not in regime.name:
            continue
        answers = asker.ask(regime)
        own, good = rows_of(answers, spec.horizons)
        lines += own
        reached &= good
        if late := int(answers.late.any(axis=1).sum()):
            lines.append([f"  {late} start before the time of asking", *[""] * 8])
        lines += [[f"  {count} refused: {why}", *[""] * 8] for why, count in answers.refused.items()]
    manifest = asker.served.manifest
    kinds = ", ".join(f"{horizon} h {manifest.kind_at(horizon)}" for horizon in spec.horizons)
    title = f"{name}: {spec.target} in {manifest.unit}, by {kinds}; {len(list(asker.origins()))} rows"
    show(title, HEADER, lines)
    return reached


def said(answer: Callable[[], Prediction]) -> str:
    """What a server says, in a line."""
    try:
        prediction = answer()
    except HTTPException as problem:
        return f"refused ({problem.status_code}): {problem.detail}"
    reasons = "; ".join(f"{each.code}: {each.detail}" for each in prediction.reasons)
    learned = f"by a model of what was until {prediction.model.training_end:%Y-%m-%d}"
    return f"answers from {prediction.origin:%Y-%m-%d %H:%M} {learned}" + (f" ({reasons})" if reasons else "")


def states(home: Path, prepared: Prepared) -> Iterator[tuple[str, str]]:
    """What a server says where a number makes no sense; the home has a release and a tail, and loses them."""
    name, request = prepared.feed.name, PredictRequest(station=next(iter(prepared.grids)))
    store = ServingStore(home)
    store.poll()
    served, seen, now = store.index[name][prepared.spec.target], store.tail(name), datetime.now(UTC)
    assert seen
    assert seen.feed_newest is not None
    newest = from_numpy(seen.feed_newest)

    def later(days: int, by: Served) -> str:
        question = Question(request, seen, (), newest + timedelta(days=days))
        return said(lambda: predictor.answer(by, question, "benchmark", now))

    for days in (1, 7):
        yield f"all silent for {days} d", later(days, served)
    lineage = served.manifest.lineage
    long_ago = msgspec.structs.replace(lineage, training_end=lineage.training_end - timedelta(days=365))
    stale = replace(served, manifest=msgspec.structs.replace(served.manifest, lineage=long_ago), answers={})
    yield "release stale", later(0, stale)
    away = home.rename(home.with_name("away"))
    store.poll()
    yield "home out of reach", said(lambda: predictor.predict(store, request).prediction)
    away.rename(home)
    (home / tail.document_name(name)).unlink()
    restarted = ServingStore(home)
    restarted.poll()
    yield "restart without a tail", said(lambda: predictor.predict(restarted, request).prediction)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--feeds", nargs="+", choices=[*FEEDS], default=[*FEEDS])
    asked.add_argument("--kinds", nargs="+", default=["linear", "xgboost"], help="trained beside the baselines")
    asked.add_argument("--stride", type=int, default=5, help="rows between two that are asked for")
    asked.add_argument("--only", default="", help="regimes with this in their name")
    arguments = asked.parse_args()
    logging.getLogger("aerocast.serving").setLevel(logging.CRITICAL)  # it would report what is taken from it on purpose
    reached = True
    for name in arguments.feeds:
        prepared = FEEDS[name]()
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            publish(home, prepared, arguments.kinds, sequences=False)
            served = loading.open_current(home, (prepared.feed.name, prepared.spec.target))
            asker = Asker(served, prepared, arguments.stride)
            reached &= judge(name, asker, arguments.only)
            print(f"\n{name}, where a number makes no sense")
            for state, text in states(home, prepared):
                print(f"  {state}: {text}", flush=True)
    print(f"\neverything answered, nothing worse than seasonal naive, 85 .. 95 % covered: {verdict(reached)}")


if __name__ == "__main__":
    main()
