"""The main job from an empty home and again with nothing changed, beside the same job as one plain script.

A round runs, each in a fresh process, `aerocast run` into an empty temporary home (cold), the same
again into that home (warm), and the plain script (measuring/plain.py: pandas, the same training, no Dagster, Delta
Lake, MLflow, release or server). Seconds are the whole process, imports and all. Target: cold under 90 s on 2 quiet
cores. The ratio is what the platform costs; steps are those of the job's own summary.
"""

import json
import re
import tempfile
from pathlib import Path

from measuring.processes import answer, environment, run
from measuring.spread import Spread, interleave, parser, ratio, seconds
from measuring.table import show, verdict

TARGET = 90.0


def steps(summary: str) -> dict[str, float]:
    """Seconds of each step, as the job's summary ends with them."""
    _, _, told = summary.partition("\nSeconds\n-------\n")
    found = re.findall(r"^  (\S.*?) +([\d.]+)(?:  .*)?$", told.partition("\n\n")[0], re.MULTILINE)
    return {name: float(took) for name, took in found}


class Job:
    """Cold and warm runs of one feed; each cold one gets a home of its own, and the warm one takes it over."""

    def __init__(self, feed: str, folder: Path) -> None:
        self.feed, self.folder = feed, folder
        self.steps: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
        self.homes = 0

    def cold(self) -> float:
        self.homes += 1
        return self._run("cold")

    def warm(self) -> float:
        return self._run("warm")

    def plain(self) -> float:
        self.steps.setdefault("plain", [])
        return seconds(lambda: self.steps["plain"].append(answer([__file__, "--plain", "--feed", self.feed])))

    def _run(self, which: str) -> float:
        home = self.folder / str(self.homes)
        command = ["-m", "cli", "run", "--verbose", "--feed", self.feed]
        return seconds(lambda: self.steps[which].append(steps(run(command, environment(home)))))


def main() -> None:
    made = parser(__doc__, rounds=3)
    made.add_argument("--feed", default="noaa")
    made.add_argument("--plain", action="store_true", help="run the plain script alone and print its steps as JSON")
    options = made.parse_args()
    if options.plain:
        from measuring.plain import job

        print(json.dumps(job(options.feed)))
        return
    with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
        runs = Job(options.feed, Path(folder))
        contenders = {"cold": runs.cold, "plain": runs.plain, "warm": runs.warm}
        figures = interleave(options.rounds, contenders)
    names = {"cold": "make run, empty home", "warm": "make run again", "plain": "one plain script"}
    rows = [
        [names[which], Spread.of(took).text(1, " s"), ratio(took, figures["plain"]).text()]
        for which, took in figures.items()
    ]
    show(f"Main job of {options.feed}, {options.rounds} rounds, median (least..greatest)",
         ["", "seconds", "x plain script"], rows)  # fmt: skip
    reached = Spread.of(figures["cold"]).median
    print(f"  target: cold under {TARGET:.0f} s on 2 quiet cores: {verdict(reached < TARGET)} ({reached:.1f} s)")
    _show_steps(runs)


def _show_steps(runs: Job) -> None:
    shown = [[name, *(_step(runs.steps[which], name) for which in ("cold", "warm"))] for name in runs.steps["cold"][0]]
    show("Seconds a step of the job", ["", "empty home", "again"], shown)
    plain = [[name, _step(runs.steps["plain"], name)] for name in runs.steps["plain"][0]]
    show("Seconds a step of the plain script", ["", "plain"], plain)


def _step(rounds: list[dict[str, float]], name: str) -> str:
    found = [each[name] for each in rounds if name in each]
    return Spread.of(found).text(1) if found else ""


if __name__ == "__main__":
    main()
