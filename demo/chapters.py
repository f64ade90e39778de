"""The whole story of the loop with real processes on simulated time: `make demo-drift`.

Calm, heatwave, detection, diagnosis, retrain, promotion, recovery, and calm again without a further retrain.
Nothing is told that is not written down somewhere: what is watched are the same durable facts that anybody can read.
"""

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb

from aerocast.common.errors import AeroCastError
from aerocast.common.times import LATEST
from aerocast.common.words import count
from aerocast.contracts import clock
from aerocast.contracts.clock import Clock
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.releases import release
from aerocast.storage import rooms
from aerocast.storage.home import Home
from aerocast_assets.feeds import find_feed
from cli import processes
from cli.run import observe, refresh
from demo import story as stories
from demo.stage import Stage, stage
from demo.timeline import Timeline
from demo.watching import LoopFacts, Retrain, Watch

FEED = "heatwave"
SPEED = 4 * 3600.0  # the feed's seconds a second, until it is known how long an examination takes
SLOWEST, FASTEST = 0.5 * 3600.0, 8 * 3600.0
PACE = timedelta(hours=48)  # of the feed from one examination to the next, however fast the machine is
CALM = timedelta(days=4)  # of live forecasts before the heatwave
LOOKS = 2  # examinations that must stay calm: before the heatwave, if there is time, and after the recovery
POLL = 0.5  # seconds between looks
PATIENCE = 180.0  # seconds for one move of the loop, on a slow machine
METRICS = ("aerocast_drift_flag", "aerocast_drift_count", "aerocast_retrain_total", "aerocast_last_rmse")
RECOVERED = 0.5  # share of the worst error below which the forecasts have recovered


@dataclass
class Storyline:
    """What the chapters found out, for the result."""

    first: str = ""
    second: str = ""
    onset: datetime | None = None
    detected: datetime | None = None
    swapped: datetime | None = None
    worst: float = 0.0
    retrains: tuple[Retrain, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


class Demo:
    """The chapters, in order; each waits for facts, and tells what is new in them meanwhile."""

    def __init__(self, feed: Feed, home: Path, stage: Stage, watch: Watch, stopped: list[int]) -> None:
        change = feed.source.change
        if change is None:
            raise AeroCastError(f"feed {feed.name} is not simulated: its world cannot be changed for a demonstration")
        self.feed, self.home, self.stage, self.watch, self.stopped = feed, home, stage, watch, stopped
        self.change, self.target = change, feed.targets[0]
        self.timeline = Timeline(feed.column(self.target).unit, feed.cadence)
        self.story = Storyline(onset=change)
        self.start = change - CALM
        self._examined: datetime | None = None
        self._speed = SPEED
        self._until: datetime | None = None

    def prepare(self, instance: dg.DagsterInstance) -> None:
        """History and the first champion, in this process, as `make run` does it; then everything that lives."""
        from aerocast_assets.alone import defs

        clock.document(self.home, self.feed.name).write(Clock(self.start, datetime.now(UTC), 0.0))
        self.stage.dagster()
        with _quiet():
            definitions = defs()
            observe(definitions, self.feed, instance)
            result = refresh(definitions, self.feed, instance)
        if self.stopped:
            raise KeyboardInterrupt
        if not result.success:
            raise AeroCastError(f"the history could not be imported: see the run in {self.home}")
        pointer = release.current(self.home, self.feed.name, self.target)
        if pointer is None:
            raise AeroCastError("no first champion: no candidate beats the baselines")
        self.story.first = pointer.version
        rows = sum(Lake(self.home).rows(f"{self.feed.name}/raw").values())
        self.timeline.say(self.start, "history", f"{rows:,} readings imported, {pointer.version} trained and serving")
        self.timeline.news(self.watch.look(), silent=True)
        self.stage.server()
        self.stage.feeder()
        self.stage.daemon()
        self.timeline.say(None, "processes", f"server {self.stage.url}, Dagster {self.stage.ui_url}, daemon, feeder")

    def tell(self) -> None:
        """All chapters. Raises AeroCastError, naming the one that did not happen in time."""
        self._calm()
        self._heatwave()
        self._retrained()
        self._recovered()
        self._calm_again()

    def _calm(self) -> None:
        self._run_clock(until=self.change)

        def is_calm(facts: LoopFacts) -> bool:
            # Where the clock stands already there is nothing new to look at: a slow machine has had one look.
            return self._is_examined(facts, LOOKS if facts.now < self.change else 1, self.story.first)

        self._wait("calm", is_calm)

    def _heatwave(self) -> None:
        self._run_clock(None)
        self.timeline.say(self.change, "HEATWAVE BEGINS", "the world changes; the platform is not told", "heatwave")
        hot_facts = self._wait("detection", lambda facts: facts.heat.hot)
        self.story.detected = hot_facts.heat.since or hot_facts.now

    def _retrained(self) -> None:
        self._wait("a retrain", lambda facts: not all(run.is_first_aid for run in facts.retrains))
        self._wait("a promotion", lambda facts: facts.released not in (None, self.story.first))
        self._wait("the server's swap", self._swapped)

    def _swapped(self, facts: LoopFacts) -> bool:
        """Whether the server answers with what was promoted last: first aid may serve until a retrain has learned."""
        if facts.served != facts.released or facts.served in (None, self.story.first):
            return False
        if facts.served != self.story.second:
            self.story.second, self.story.swapped = str(facts.served), facts.now
        return True

    def _recovered(self) -> None:
        def recovered(facts: LoopFacts) -> bool:
            diagnosis = facts.diagnosis
            small = (
                diagnosis is not None and diagnosis.rmse is not None and diagnosis.rmse < RECOVERED * self.story.worst
            )
            return self._swapped(facts) and small and not facts.heat.hot and facts.heat.version == self.story.second

        new_facts = self._wait("recovery", recovered)
        self.timeline.say(
            new_facts.now, "RECOVERED", f"the forecasts of {self.story.second} are good again", "recovered"
        )

    def _calm_again(self) -> None:
        """Examinations without an edge, a retrain or a promotion; what comes late begins them again."""
        examinations, quiet = set[str](), self.watch.look()

        def calm(facts: LoopFacts) -> bool:
            nonlocal quiet
            if not self._swapped(facts) or _moves(facts) != _moves(quiet):
                quiet = facts
                examinations.clear()
            elif facts.drift and facts.drift.judged_at > quiet.now:
                examinations.add(facts.drift.judged_at.isoformat())
            return len(examinations) >= LOOKS and not facts.heat.hot

        calm_facts = self._wait("calm again", calm)
        self.story.metrics, self.story.retrains = calm_facts.metrics, calm_facts.retrains
        self.timeline.say(calm_facts.now, "CALM AGAIN", f"{LOOKS} more examinations, no further retrain", "still calm")

    def _is_examined(self, facts: LoopFacts, looks: int, version: str) -> bool:
        """Whether so many examinations in a row were calm while there were outcomes of the version to look at."""
        diagnosis = facts.diagnosis
        is_examined = diagnosis is not None and diagnosis.outcomes > 0 and facts.heat.version == version
        return is_examined and not facts.heat.hot and facts.heat.calm >= looks

    def _run_clock(self, until: datetime | None) -> None:
        """The feed's time passes from where it stands."""
        at, self._until = clock.now(self.home, self.feed.name, self.feed.end), until
        clock.document(self.home, self.feed.name).write(Clock(at, datetime.now(UTC), self._speed, until))

    def _keep_pace(self, facts: LoopFacts) -> None:
        """Time flies as fast as examinations follow it: PACE between two, on a fast machine and on a slow one."""
        written_at = facts.drift.written_at if facts.drift else None
        if written_at is None or written_at == self._examined:
            return
        if self._examined:
            seconds = (written_at - self._examined).total_seconds()
            self._speed = min(FASTEST, max(SLOWEST, PACE.total_seconds() / seconds))
            self._run_clock(self._until)
        self._examined = written_at

    def _wait(self, chapter: str, happened: Callable[[LoopFacts], bool]) -> LoopFacts:
        """The facts in which the chapter has happened.

        Raises:
            AeroCastError: it did not in time, a process ended by itself.
            KeyboardInterrupt: a person has ended the story.
        """
        began = progress = self.timeline.elapsed
        moves: tuple[object, ...] = ()
        while self.timeline.elapsed - progress < PATIENCE:
            if self.stopped:
                raise KeyboardInterrupt
            self.stage.check()
            facts = self.watch.look()
            if _moves(facts) != moves:
                moves, progress = _moves(facts), self.timeline.elapsed
            self.timeline.news(facts)
            self._keep_pace(facts)
            if facts.diagnosis and facts.diagnosis.rmse:
                self.story.worst = max(self.story.worst, facts.diagnosis.rmse)
            if happened(facts):
                self.timeline.seconds[chapter] = self.timeline.elapsed - began
                return facts
            time.sleep(POLL)
        heat = facts.heat
        raise AeroCastError(
            f"{chapter} did not happen, and nothing else within {PATIENCE:.0f} s: at {facts.now:%Y-%m-%d %H:%M} "
            f"the target is {'hot' if heat.hot else 'cool'} ({heat.warm} warm, {heat.calm} calm), "
            f"{len(facts.retrains)} retrains, {facts.served} serves; logs in {self.home / 'processes'}"
        )


def _moves(facts: LoopFacts) -> tuple[object, ...]:
    """What the loop has done so far."""
    return facts.heat.edges, facts.heat.hot, facts.retrains, facts.released


def _counts(retrains: Sequence[Retrain]) -> str:
    aids = sum(each.is_first_aid for each in retrains)
    return count(len(retrains) - aids, "retrain") + (f" and {count(aids, 'first aid')}" if aids else "")


def demo(home: Home) -> int:
    """Tells the story in a home of its own, `demo-drift` inside `home`. Exit status 0.

    Raises:
        AeroCastError: a chapter did not happen in time, or a process ended by itself.
        KeyboardInterrupt: a person ended it; everything that was started is gone.
    """
    feed, own = find_feed(FEED), home / rooms.DEMO
    print(f"The loop on simulated time: {feed.description}\nHome {own}\n", flush=True)
    with (
        processes.stoppable() as stopped,
        stage(own, feed) as own_stage,
        _environment(own, feed),
        dg.DagsterInstance.get() as instance,
    ):
        demonstration = Demo(feed, own, own_stage, Watch(own, feed, feed.targets[0], own_stage.url, instance), stopped)
        try:
            demonstration.prepare(instance)
            demonstration.tell()
        finally:
            path = _draw(demonstration)
    _result(demonstration, path)
    return 0


def _draw(demo: Demo) -> Path | None:
    """The picture of what happened so far; None if nothing was forecast yet."""
    lake, feed = Lake(demo.home), demo.feed
    with duckdb.connect() as con:
        recording = stories.load_story(con, lake, demo.home, feed, demo.target, feed.station_ids[0], demo.start - CALM)
    if not len(recording.forecasts.time):
        return None
    path = demo.home / "reports" / "demo-drift.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = stories.draw_story(recording, demo.timeline.marks, f"{feed.name}: the loop notices, retrains and recovers")
    figure.savefig(path, dpi=110)
    return path


def _result(demo: Demo, path: Path | None) -> None:
    """Numbers, from the tables."""
    story, feed = demo.story, demo.feed
    if story.onset is None or story.detected is None or story.swapped is None:
        return
    with duckdb.connect() as con:
        start = demo.start - CALM
        recording = stories.load_story(con, Lake(demo.home), demo.home, feed, demo.target, feed.station_ids[0], start)
    far = LATEST
    spans = {"before": (demo.start, story.onset), "during": (story.onset, story.swapped), "after": (story.swapped, far)}
    unit = feed.column(demo.target).unit
    print(f"\nResult\n------\n  RMSE of the live forecasts, {feed.horizons[0]} step ahead")
    for name, span in spans.items():
        rmse = recording.rmse(*span)
        print(f"    {name:<8}{'none' if rmse is None else f'{rmse:.2f} {unit}'}")
    delay = (story.detected - story.onset) / feed.cadence
    versions = f"{story.first} -> {story.second}"
    print(f"  detected {delay:.0f} readings after the onset; {_counts(story.retrains)}; {versions}")
    metrics_text = ", ".join(f"{name} {story.metrics[name]:g}" for name in METRICS if name in story.metrics)
    print(f"  the server's metrics: {metrics_text}\n  {demo.timeline.elapsed:.0f} s in all")
    if path:
        print(f"\nPicture  {path}")


@contextmanager
def _environment(home: Path, feed: Feed) -> Iterator[None]:
    """What this process itself needs to work in the demonstration's home."""
    own = {"AEROCAST_HOME": str(home), "DAGSTER_HOME": str(home), "AEROCAST_FEED": feed.name}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _quiet() -> Iterator[None]:
    """The import's own lines are another story."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
