"""From what a loop did to the figures of a case: found, when, called what, retrained, and how far off it was."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.drift_state import Fault
from measuring.champions import Champion, freely, learn, rmse, utc
from measuring.loop import Examined, Live, Loop
from measuring.series import grid
from measuring.truth import ACCEPTED, Case, Expected, Truth, errors, settle

REACHED = 1.10  # recovered: within this much of the oracle
GRACE = 72  # rows after a repaired fault in which it may still be named
MISSING = 6  # readings really absent make a named drop-out true

Span = Literal["before", "during", "after"]
SPANS: tuple[Span, ...] = ("before", "during", "after")


@dataclass(frozen=True)
class Errors:
    """RMSE, mean over the horizons, in the target's unit, against what was so; all on the same forecasts."""

    model: float
    persistence: float
    seasonal: float


@dataclass(frozen=True)
class Tally:
    """One run. `named`: a sensor's fault was called by its own name; `gain` is the oracle's (see `truth`).

    `delay` and `recovery` are in readings from the onset; `ratio` is the error after over the oracle's.

    `aids` are first aids, of which `aided` were promoted; neither counts as a retrain.

    `alarms` counts heat edges and sensor faults raised in `windows` readings where none was right.
    """

    scenario: str
    seed: int
    source: str
    expected: Expected
    gain: float
    diagnosis: str
    right: bool
    found: bool | None
    named: bool | None
    delay: int | None
    retrains: int
    promoted: int
    unwanted: int
    alarms: int
    windows: int
    errors: dict[Span, Errors]
    oracle: float
    frozen: float
    ratio: float
    recovery: int | None
    notes: tuple[str, ...] = ()
    aids: int = 0
    aided: int = 0

    contenders: ClassVar[tuple[str, ...]] = ("model", "persistence", "seasonal")


def first_champion(case: Case) -> Champion:
    """Trained on what was measured before serving begins; it serves whatever its skill, for the loop is measured here.

    Raises:
        SystemExit: nothing could be trained.
    """
    past = grid(case.injected.measured.cut(0, case.live), case.feed.gap_policy.max_steps)
    made = learn(freely(case.feed), past, None)
    if made.champion is None:
        raise SystemExit(f"{case.scenario}, seed {case.seed}: no first champion: {made.reason}")
    return made.champion


def run(case: Case, champion: Champion | None = None, seasonal: float = 0.0, first_aid: bool = True) -> Tally:
    """Settles the truth (see `settle` for `seasonal`), then lives the case through the loop."""
    champion = champion or first_champion(case)
    truth = settle(case, champion, seasonal)
    live = Loop(case.feed, case.injected.measured, case.live, champion, case.every, first_aid).run()
    return tally(case, truth, live)


def tally(case: Case, truth: Truth, live: Live) -> Tally:
    """The figures of one run."""
    hit = case.injected
    accepted = ACCEPTED[truth.expected] | case.accepted
    called, at = _called(case, truth, live)
    right = called in accepted
    must = truth.expected in ("shift", "drift", "sensor")
    spans = _spans(case, live)
    table = {name: _errors(case, live, rows) for name, rows in spans.items()}
    after = errors(case, live.forecast[-case.after :], len(hit.world.time) - case.after)
    ratio = _ratio(after, truth.oracle)
    wanted = truth.expected in ("shift", "drift", "grey")
    promotions = [each.at for each in live.retrains if each.promoted and each.at >= hit.onset]
    recovered = truth.expected == "drift" and promotions and ratio <= REACHED
    alarms, windows = _alarms(case, truth, live)
    retrains = [each for each in live.retrains if not each.first_aid]
    aids = [each for each in live.retrains if each.first_aid]
    return Tally(
        scenario=case.scenario,
        seed=case.seed,
        source=case.source,
        expected=truth.expected,
        gain=truth.gain,
        diagnosis=called,
        right=right,
        found=right if must else None,
        named=_named(case, live, at) if called == "sensor_fault" else None,
        delay=at - hit.onset if must and right and at is not None else None,
        retrains=len(retrains),
        promoted=sum(each.promoted for each in retrains),
        unwanted=sum(not wanted or each.at < hit.onset for each in live.retrains),
        alarms=alarms,
        windows=windows,
        errors=table,
        oracle=rmse(truth.oracle) if truth.oracle is not None else float("nan"),
        frozen=rmse(truth.frozen),
        ratio=ratio,
        recovery=promotions[-1] - hit.onset if recovered else None,
        notes=tuple(_notes(case, live)),
        aids=len(aids),
        aided=sum(each.promoted for each in aids),
    )


def _ratio(after: NDArray[np.float64], oracle: NDArray[np.float64] | None) -> float:
    if oracle is None:
        return float("nan")
    both = np.isfinite(after) & np.isfinite(oracle)
    return rmse(np.where(both, after, np.nan)) / rmse(np.where(both, oracle, np.nan))


def _spans(case: Case, live: Live) -> dict[Span, tuple[int, int]]:
    """Rows [start, stop) before the onset, while it lasts or until the after-rows, and the after-rows."""
    last = len(case.injected.world.time) - case.after
    end = min(case.injected.end, last)
    return {
        "before": (live.start, case.injected.onset),
        "during": (case.injected.onset, end),
        "after": (last, last + case.after),
    }


def _errors(case: Case, live: Live, rows: tuple[int, int]) -> Errors:
    """All three on the same origins: where the model answered."""
    own = slice(*rows)
    world = errors(case, np.zeros_like(live.forecast), 0)[own]
    answered = np.isfinite(live.forecast[own])
    tables = (live.forecast[own], live.persistence[own], live.seasonal[own])
    return Errors(*(rmse(np.where(answered, world - table, np.nan)) for table in tables))


def _called(case: Case, truth: Truth, live: Live) -> tuple[str, int | None]:
    """What the platform called it, and when: the first alarm from the onset on, else the first report of a shift.

    A sensor's fault counts as alarm when it is named; a concept drift when the target turns hot. An alarm after the
    fault was repaired and its last readings have passed is not about it.
    """
    hit = case.injected
    until = hit.end + GRACE if hit.cause == "sensor" else len(hit.world.time)
    own = [each for each in live.examined if hit.onset <= each.at < until]
    hot = next((at for at in live.edges if hit.onset <= at < until), None)
    before = _open_before(case, live)
    faulty = next((each.at for each in own if _news(case, each.open, before)), None)
    alarms = [(at, name) for at, name in ((hot, "concept_drift"), (faulty, "sensor_fault")) if at is not None]
    if alarms:
        at, name = min(alarms)
        return name, at
    shifted = next((each.at for each in own if each.diagnosis.verdict == "covariate_shift"), None)
    return ("covariate_shift", shifted) if shifted is not None else ("ok", None)


def _open_before(case: Case, live: Live) -> set[tuple[str, str]]:
    """Column and kind of the faults that were open when the onset came: they are not about it."""
    last = [each for each in live.examined if each.at < case.injected.onset][-1:]
    return {(fault.column, fault.kind) for each in last for fault in each.open}


def _news(case: Case, faults: Iterable[Fault], before: set[tuple[str, str]]) -> list[Fault]:
    """Faults that were not open before the onset, and are more than readings that really are absent.

    Where silence is what was injected, that is news.
    """
    believed = list(faults) if case.injected.kind == "drop_out" else _false(case, faults)
    return [fault for fault in believed if (fault.column, fault.kind) not in before]


def _named(case: Case, live: Live, at: int | None) -> bool | None:
    """Whether the sensor's fault was called by its own name when it was first told; None where nothing was told."""
    if case.injected.cause != "sensor" or at is None:
        return None
    before = _open_before(case, live)
    told = next(each for each in live.examined if each.at == at)
    return any(case.injected.kind in fault.kind for fault in _news(case, told.open, before))


def _false(case: Case, faults: Iterable[Fault]) -> list[Fault]:
    """Those of the faults that the series does not bear out: a drop-out is true where readings are absent."""
    return [fault for fault in faults if not _absent(case, fault)]


def _absent(case: Case, fault: Fault) -> bool:
    measured = case.injected.measured
    column = measured.values[:, measured.columns.index(fault.column)]
    start = np.searchsorted(measured.time, np.datetime64(fault.start.replace(tzinfo=None), "s"))
    gone = np.isnan(column[start : start + 24]).sum()
    return "drop" in fault.kind and bool(gone >= MISSING)


def _alarms(case: Case, truth: Truth, live: Live) -> tuple[int, int]:
    """Alarms where none was right, and the readings in which there could have been one."""
    hit, rows = case.injected, len(case.injected.world.time)
    clean = np.zeros(rows, dtype=bool)
    clean[live.start : hit.onset] = True
    if truth.expected == "quiet":
        clean[live.start :] = True
    if truth.expected == "sensor":
        clean[hit.end + GRACE :] = True
    edges = sum(bool(clean[at]) for at in live.edges)
    raised, before = 0, set[tuple[str, str]]()
    for each in live.examined:
        now = {(fault.column, fault.kind) for fault in _false(case, each.open)}
        raised += len(now - before) if clean[each.at] else 0
        before = now
    return edges + raised, int(clean.sum())


def _notes(case: Case, live: Live) -> list[str]:
    """What a person wants to know of a run that went wrong."""
    named = dict[tuple[str, str], Examined]()
    for each in live.examined:
        for fault in each.open:
            named.setdefault((fault.column, fault.kind), each)
    time = case.injected.measured.time
    notes = [f"{utc(time[at]):%m-%d %H}h hot" for at in live.edges]
    notes += [f"{utc(time[each.at]):%m-%d %H}h {kind} of {column}" for (column, kind), each in named.items()]
    promoted = ("refused", "promoted")
    notes += [f"{utc(time[each.at]):%m-%d %H}h {promoted[each.promoted]}: {each.reason}" for each in live.retrains]
    return sorted(notes)
