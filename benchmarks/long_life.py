"""What a home takes at day 1, 30 and 90 of a feed that is polled every 5 minutes beside 10 requests a second, and what
60 deliveries cost in a new home and after 30 and 90 days of one every ten seconds. Simulated time.

A sampled day: `--polls` polls of five minutes each through the live sensor, real Dagster runs and the prediction log
(an hour of them, since some files are written once an hour); then the rest of the day in one run, and a night of
maintenance as of three days later, when nothing is young. The days between the sampled ones pass in a run each ten
days. What a server would have logged when it was not sampled is written by the functions of the intake, as many rows as
an intake each five minutes would have left. So tables, logs and exports are what they would be. Of Dagster's runs a
night leaves one a day, however many there were. `Net` is what the home has more after the whole day and its night; `by
day` what the sampled polls wrote, counted 288 / polls times, which is there until the night, or for a day. Answers are
kept for a declared time: from then on a day's share goes each day. Deliveries of the days in between are appended by
the thousand, by the code of an intake, each with a name of its own. Day 1 is the first of a month, and day 90 the last.
`--full` samples whole days. Target: at most 50 MB a day net.
"""

import tempfile
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from measuring.aging import Age, Aging
from measuring.lifetime import POLLS, Life, instance
from measuring.sizes import sizes
from measuring.spread import Spread, parser, ratio
from measuring.table import show, verdict

DAYS = (1, 30, 90)
YOUNG = 12  # polls: an hour
MB = 1e6
TARGET, WITHIN = 50.0, 1.2
KEPT = {"table answers": 62}  # days after which what came is gone again


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

    def net(self, kind: str) -> float:
        """MB more of this kind after the day and its night."""
        return (self.after.get(kind, 0) - self.before.get(kind, 0)) / MB

    def by_day(self, kind: str) -> float:
        """MB that such polls write in a day."""
        return (self.polled.get(kind, 0) - self.before.get(kind, 0)) / MB * POLLS / len(self.ticks)


def live(folder: Path, polls: int) -> dict[int, Sampled]:
    found = {}
    with instance(folder) as made:
        life = Life(folder, made)
        life.begin()
        for _ in range(YOUNG):  # until each log has a checkpoint, as it has for the most part of the first day
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
        added = [each.net(kind) for each in found.values()]
        # On the day on which the oldest is beyond its time, as much goes as came then: what day 1 brought.
        nets.append([n if day <= KEPT.get(kind, day) else n - added[0] for day, n in zip(found, added, strict=True)])
        brought = [f"{each.by_day(kind):,.1f}" for each in found.values()]
        rows.append([kind, *(f"{n:,.2f}" for n in nets[-1]), *brought, f"{last.after.get(kind, 0) / MB:,.1f}"])
    total = [sum(column) for column in zip(*nets, strict=True)]
    brought = [f"{sum(each.by_day(kind) for kind in kinds):,.1f}" for each in found.values()]
    rows.append(["in all", *(f"{n:,.2f}" for n in total), *brought, f"{sum(last.after.values()) / MB:,.1f}"])
    header = ["", *(f"net, day {day}" for day in found), *(f"by day {day}" for day in found), "at the end"]
    show("MB a day", header, rows)
    print(f"  target: at most {TARGET:.0f} MB a day net: {verdict(max(total) <= TARGET)} ({max(total):.1f} MB)")
    first = found[DAYS[0]]
    timed = [
        ["tick of the live sensor, s", *(Spread.of(each.ticks).text(3) for each in found.values())],
        ["its runs, s a poll", *(Spread.of(each.runs).text(2) for each in found.values())],
        ["its runs, s a poll, mean", *(f"{fmean(each.runs):.2f}" for each in found.values())],
        ["ticks, x day 1", *(_times(each.ticks, first.ticks) for each in found.values())],
        ["runs, x day 1", *(_times(each.runs, first.runs) for each in found.values())],
        ["runs, mean x day 1", *(f"{fmean(each.runs) / fmean(first.runs):.2f}" for each in found.values())],
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
    made.add_argument("--polls", type=int, default=YOUNG, help="polls of each sampled day (default: %(default)s)")
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
