"""Forecasts far ahead, in the two forms that published figures have, beside their floors.

`protocol`: MSE over all seven z-scored channels of ETTh1 and every test window, to 96, 192, 336 and 720 steps:
persistence and the newest day repeated (which must reproduce the reference), the reference's ridge on 336 steps, and
the kind `long_linear`, whose penalty and level are chosen on validation rows alone. It is fitted on the protocol's
train rows, and, as the platform does before it serves, once more on train and validation rows; the goals are those of
the second, and the first is what compares with published figures.

`windows`: scaled quantile loss a week ahead over the newest twenty weeks of ETTh1 and of an Italian street's air, in
the form of the public fev-bench tasks (measuring/windows.py). As points, the newest day repeated has a public figure
that it must reproduce for the street (1.442); the public ETT task is the mean of two transformers, one of them here.
"""

import argparse

import numpy as np
from measuring.long import Parts, Protocol, etth1, measure
from measuring.table import show, verdict
from measuring.windows import air_quality, measure_windows, transformer

HORIZONS = (96, 192, 336, 720)
REFERENCE = {  # project's reference accuracies
    "persistence": (1.294, 1.325, 1.330, 1.335),
    "seasonal naive": (0.512, 0.581, 0.650, 0.655),
    "linear floor": (0.370, 0.403, 0.428, 0.434),
}
GOAL, MEAN_GOAL = 0.362, 0.405
RECORDINGS = {"air quality": air_quality, "ETTh1": transformer}
WINDOW_GOALS = {"air quality": 1.08, "ETTh1": 0.95}
PUBLISHED = {  # results of fev-bench
    "best trained from scratch, published": (1.111, 0.951),
    "LightGBM, published": (1.333, 1.300),
    "best pretrained, published": (0.798, 0.854),
}


def judged(label: str, value: float, goal: float) -> str:
    return f"{label} {value:.3f}, goal {goal:.3f}: {verdict(round(value, 3) <= goal)}"


def show_protocol(seasons: int, horizons: tuple[int, ...]) -> None:
    errors = measure(Protocol.of(etth1(), max(horizons), seasons, Parts()), horizons)
    reference = {f"{label}, reference": dict(zip(HORIZONS, row, strict=True)) for label, row in REFERENCE.items()}
    rows = []
    for label, row in {**reference, **errors}.items():
        if set(horizons) <= row.keys():
            values = [row[horizon] for horizon in horizons]
            rows.append([label, *(f"{each:.3f}" for each in (*values, sum(values) / len(values)))])
    show("MSE on ETTh1", ("to", *map(str, horizons), "mean"), rows)
    for label in ("ours, train rows", "ours, refitted"):
        if 96 in horizons:
            print(judged(f"{label}: to 96 steps", errors[label][96], GOAL))
        if set(HORIZONS) <= set(horizons):
            mean = sum(errors[label][horizon] for horizon in HORIZONS) / len(HORIZONS)
            print(judged(f"{label}: mean over 96 to 720", mean, MEAN_GOAL))


def show_windows(seasons: int) -> None:
    losses = {name: measure_windows(read(), seasons) for name, read in RECORDINGS.items()}
    labels = next(iter(losses.values()))
    rows = [[label, *(f"{np.mean(own[label]):.3f}" for own in losses.values())] for label in labels]
    rows += [[label, *(f"{each:.3f}" for each in row)] for label, row in PUBLISHED.items()]
    show("scaled quantile loss a week ahead, the newest 20 weeks", ("", *losses), rows)
    for name, own in losses.items():
        weeks = own["ours"]
        print(judged(f"ours, {name}:", float(np.mean(weeks)), WINDOW_GOALS[name]), end="; ")
        print(f"weeks {min(weeks):.3f} to {max(weeks):.3f}")


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--only", choices=("protocol", "windows"), help="one of the two forms")
    made.add_argument("--seasons", type=int, default=21, help="days that the kind looks back (%(default)s)")
    made.add_argument("--horizons", type=int, nargs="+", default=HORIZONS, help="of the protocol, default: %(default)s")
    asked = made.parse_args()
    if asked.only != "windows":
        show_protocol(asked.seasons, tuple(asked.horizons))
    if asked.only != "protocol":
        show_windows(asked.seasons)


if __name__ == "__main__":
    main()
