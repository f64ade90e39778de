"""What a home takes at day 1, 30 and 90 of a feed that is polled every 5 minutes beside 10 requests a second, and what
60 deliveries cost in a new home and after 30 and 90 days of one every ten seconds. Simulated time.

A sampled day: `--polls` polls of five minutes each through the live sensor, real Dagster runs and the prediction log;
then the rest of the day in one run, and a night of maintenance. The days between the sampled ones pass in a run each
ten days. What a server would have logged when it was not sampled is written by the functions of the intake, as many
rows as an intake each five minutes would have left. So tables, logs and exports are what they would be, and `MB a day`
of them is what the home has more after the whole day and its night. Dagster's own storage holds the sampled runs only:
what they added is counted 288 / polls times, and kept for as long as runs are. Of what is kept for a declared time, a
day's share goes each day from then on. Deliveries of the days in between are appended by the thousand, by the code of
an intake, each with a name of its own. `--full` samples whole days. Target: at most 50 MB a day net.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

from measuring.aging import Age, Aging
from measuring.lifetime import POLLS, Life, instance
from measuring.sizes import sizes
from measuring.spread import Spread, parser, ratio
from measuring.table import show, verdict

from aerocast_assets.automation.retention import KEPT as KEPT_RUNS

DAYS = (1, 30, 90)
MB = 1e6
TARGET, WITHIN = 50.0, 1.2
DAGSTER = ("Dagster runs and events", "Dagster ticks and evaluations", "run folders and what steps print")
# Days after which what came is gone again.
KEPT = dict.fromkeys(DAGSTER, KEPT_RUNS.days) | {"table answers": 62}


class Sampled(NamedTuple):
    """One sampled day: bytes by kind before it, after its polls, and after its night; seconds of each poll's tick and
    runs, and of the night; runs that the polls asked for.
    """

    before: dict[str, int]
    polled: dict[str, int]
    after: dict[str, int]
    ticks: list[float]
    runs: list[float]
    night: float
    count: int

    def a_day(self, kind: str) -> float:
        """MB more of this kind after the day."""
        if kind in DAGSTER:
            return (self.polled.get(kind, 0) - self.before.get(kind, 0)) / MB * POLLS / len(self.ticks)
        return (self.after.get(kind, 0) - self.before.get(kind, 0)) / MB


def live(folder: Path, polls: int) -> dict[int, Sampled]:
    found = {}
    with instance(folder) as made:
        life = Life(folder, made)
        life.begin()
        life.poll()
        life.night()
        for day in DAYS:
            life.pass_days(day - 1)
            life.night()
            before, count = sizes(folder), life.runs
            took = [life.poll() for _ in range(polls)]
            polled, count = sizes(folder), life.runs - count
            life.pass_days(day)
            night = life.night()
            ticks, runs = [each[0] for each in took], [each[1] for each in took]
            found[day] = Sampled(before, polled, sizes(folder), ticks, runs, night, count)
    return found


def deliveries(folder: Path, rounds: int) -> list[Age]:
    aging, found = Aging(folder), []
    for days in (0, *DAYS[1:]):
        aging.grow(days)
        aging.measure(1)
        found.append(aging.measure(rounds))
    return found


def show_live(found: dict[int, Sampled]) -> None:
    kinds = sorted({kind for each in found.values() for kind in each.after})
    rows, nets, last = [], [], found[DAYS[-1]]
    for kind in kinds:
        added = [each.a_day(kind) for each in found.values()]
        net = [
            each if day <= KEPT.get(kind, day) else max(0.0, each - added[0])
            for day, each in zip(found, added, strict=True)
        ]
        nets.append(net)
        rows.append([kind, *(f"{each:,.2f}" for each in net), f"{last.after.get(kind, 0) / MB:,.1f}"])
    total = [sum(column) for column in zip(*nets, strict=True)]
    rows.append(["in all", *(f"{each:,.2f}" for each in total), ""])
    show("MB more a day, net", ["", *(f"day {day}" for day in found), "MB at the end"], rows)
    print(f"  target: at most {TARGET:.0f} MB a day net: {verdict(max(total) <= TARGET)} ({max(total):.1f} MB)")
    first = found[DAYS[0]]
    timed = [
        ["tick of the live sensor, s", *(Spread.of(each.ticks).text(3) for each in found.values())],
        ["its runs, s a poll", *(Spread.of(each.runs).text(2) for each in found.values())],
        ["ticks, x day 1", *(_times(each.ticks, first.ticks) for each in found.values())],
        ["runs, x day 1", *(_times(each.runs, first.runs) for each in found.values())],
        ["night of maintenance, s", *(f"{each.night:.1f}" for each in found.values())],
        ["runs in the sampled polls", *(f"{each.count} of {len(each.ticks)}" for each in found.values())],
    ]
    show("Seconds", ["", *(f"day {day}" for day in found)], timed)


def _times(own: list[float], first: list[float]) -> str:
    return ratio(sorted(own), sorted(first)).text()


def show_deliveries(found: list[Age]) -> None:
    first = found[0].seconds.median
    rows = [
        [f"day {age.days}", age.seconds.text(2), f"{age.seconds.median / first:.2f}", f"{age.known:,}",
         f"{age.log / MB:.1f}", f"{age.grown / MB:.1f}"]
        for age in found
    ]  # fmt: skip
    show("60 deliveries by the inbox, one every ten seconds since day 0", ["", "seconds", "x new home",
         "deliveries known", "MB of raw's log", "MB of it new"], rows)  # fmt: skip
    worst = max(age.seconds.median for age in found) / first
    print(f"  target: within 20 % of a new home: {verdict(worst <= WITHIN)} ({worst:.2f} times)")


def main() -> None:
    made = parser(__doc__, rounds=5)
    made.add_argument("--polls", type=int, default=3, help="polls of each sampled day (default: %(default)s)")
    made.add_argument("--full", action="store_true", help="sample whole days of 288 polls")
    made.add_argument("--only", choices=("live", "deliveries"), help="one of the two parts")
    options = made.parse_args()
    if options.only != "live":
        with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
            show_deliveries(deliveries(Path(folder), options.rounds))
    if options.only != "deliveries":
        with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
            polls = POLLS if options.full else options.polls
            show_live(live(Path(folder), polls))


if __name__ == "__main__":
    main()
