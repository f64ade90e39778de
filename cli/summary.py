"""What `aerocast run` ends with: rows, candidates, champion, forecast, times, and what to type next."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from aerocast.common.errors import AeroCastError
from aerocast.common.times import to_minute
from aerocast.common.words import count, duration
from aerocast.contracts.manifest import Manifest, Scores
from aerocast.feed.declaration import BASELINES, Feed
from aerocast.feed.model_kind import MODELS, SEQUENCE
from aerocast.lake import Lake, LakeReader, connection
from aerocast.models import candidates
from aerocast.promotion import table as promotions
from aerocast.promotion.scoring import ALL
from aerocast.releases import release
from aerocast.releases.release import Release
from aerocast.storage.home import Home
from aerocast_assets.assets.describe import STATUS
from aerocast_assets.assets.forecasts import picture_path
from aerocast_assets.checks.skill import SKILL
from aerocast_assets.keys import table
from aerocast_assets.progress import verdict

Step = tuple[str, float, str]


def steps(result: dg.ExecuteInProcessResult) -> list[Step]:
    """Each step's name, seconds, and whether it found its work done already."""
    said: dict[str | None, str] = {}
    for event in result.get_asset_materialization_events():
        status = event.materialization.metadata.get(STATUS)
        said[event.step_key] = str(status.value) if status else ""
    done = [event for event in result.all_events if event.event_type_value == "STEP_SUCCESS" and event.step_key]
    return [
        (
            str(event.step_key).replace("__", "/"),
            event.step_success_data.duration_ms / 1000,
            said.get(event.step_key, ""),
        )
        for event in done
    ]


def only_poor(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a run failed for nothing but that no model was good enough."""
    failed = [event.step_key or "" for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    return all(step.endswith(f"champion_{SKILL}") for step in failed)


def print_failure(result: dg.ExecuteInProcessResult) -> None:
    """One paragraph a failure: the step and the innermost reason, without a traceback."""
    print("\nFAILED", flush=True)
    for failure in failures(result):
        print(f"  {failure}")
    print_checks(result)
    print("\nFinished work is kept: the same command continues from there.", flush=True)


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """Each failed step, and why, without a traceback."""
    failed = [each for each in result.all_events if each.event_type_value == "STEP_FAILURE"]
    return [why_failed(each) for each in failed if each.step_failure_data.error]


def why_failed(event: dg.DagsterEvent) -> str:
    """A failed step, and our own sentence where there is one, or else what was raised first of all."""
    step, failure = str(event.step_key).replace("__", "/"), event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return f"{step}: {failure.user_failure_data.description}"
    error = failure.error
    while error and error.cause and error.cls_name != AeroCastError.__name__:
        error = error.cause
    said = str(error.message).strip().removeprefix("aerocast.common.errors.AeroCastError: ") if error else "no reason"
    return f"{step}: {said}"


def print_checks(result: dg.ExecuteInProcessResult) -> None:
    """How many checks passed; of each other one its name and what it says of itself."""
    checks = result.get_asset_check_evaluations()
    words = Counter(verdict([check]) for check in checks)
    _heading("Checks")
    print("  " + ", ".join(f"{words[word]} {word.lower()}" for word in ("passed", "WARNED", "FAILED") if words[word]))
    for check in checks:
        if not check.passed:
            name = f"{check.asset_key.to_user_string()} {check.check_name}"
            print(f"  {verdict([check])} {name}: {check.description}")


def print_rows(home: Home, feed: Feed) -> None:
    """The rows of each table, and what is in quarantine by rule, with an example of each."""
    lake = Lake(home)
    _heading("Rows")
    for layer in ("raw", "bronze", "quarantine", "silver"):
        print(f"  {layer:<12}{sum(lake.rows(table(feed, layer)).values()):>10,}")
    for target in feed.targets:
        print(f"  {'windows':<12}{sum(lake.rows(table(feed, target, 'windows')).values()):>10,}  ({target})")
    bad = table(feed, "quarantine")
    if not lake.exists(bad):
        return
    with connection() as con:
        by_rule = lake.relation(con, bad).aggregate('rule, count(*), count("column"), any_value(reason)', "rule")
        for rule, rows, values, reason in by_rule.order("rule").fetchall():
            parts = [(values, "value"), (rows - values, "reading")]
            shown = " and ".join(count(number, what) for number, what in parts if number)
            print(f"  in quarantine by rule {rule}: {shown}, such as: {reason}")


def print_target(home: Home, feed: Feed, target: str, waiting: Mapping[str, str]) -> None:
    """The candidates, and the champion; or why nothing serves, by `waiting` (see `cli.run.unserved`)."""
    lake = Lake(home)
    if scores := promotions.newest_scores(lake, feed.name, target):
        _candidates(scores, feed, target)
    if target not in waiting:
        _champion(lake, home, feed, target)
    else:
        _heading(f"Nothing serves {target} yet")
        poor = "No model was good enough: a candidate must beat both baselines at each horizon."
        print(f"  {waiting[target] or poor}")


def _heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _candidates(scores: Sequence[promotions.Row], feed: Feed, target: str) -> None:
    models: dict[str, dict[int, promotions.Row]] = {}
    for row in scores:
        if row["station"] == ALL:
            models.setdefault(row["model"], {})[row["horizon"]] = row
    unit = feed.column(target).unit
    _heading(f"Candidates for {target}, newest {feed.split.test:.0%} of time, all stations")
    print("  skill over the better of persistence and seasonal naive | MAE | share of outcomes inside the interval")
    print(f"  {'':<15}{'composite':>9}" + "".join(f"{duration(h * feed.cadence):>28}" for h in feed.horizons))
    for model, found in sorted(models.items(), key=lambda item: (item[1][0]["composite"], item[0])):
        cells = []
        for horizon in feed.horizons:
            row, share = found[horizon], found[horizon]["coverage"]
            share = "" if share is None else f"{share:.1%}"
            cells.append(f"{row['skill']:+.3f} | {row['mae']:.2f} {unit} | {share:>5}")
        beaten = (
            "" if min(found[h]["skill"] for h in feed.horizons) > 0 else "   does not beat both baselines everywhere"
        )
        beaten = "   (baseline)" if model in BASELINES else beaten
        beaten += "   (cannot serve)" if model in feed.candidates and not MODELS.find(model).serves else ""
        print(f"  {model:<15}{found[0]['composite']:>9.4f}" + "".join(f"{cell:>28}" for cell in cells) + beaten)


def _champion(lake: LakeReader, home: Home, feed: Feed, target: str) -> None:
    _heading(f"Champion of {target}")
    decision = promotions.newest(lake, feed.name, target)
    assert decision  # the run has just made one, or found one
    print(f"  {decision['reason']}")
    if decision["test_rows"] is not None:  # a release that was chosen by hand was not judged
        start, end = decision["test_start"], to_minute(decision["test_end"])
        print(f"  judged on {decision['test_rows']:,} origins from {start:%Y-%m-%d %H:%M} to {end}, never trained on")
    pointer = release.current(home, feed.name, target)
    if pointer:
        if pointer.active_hold:
            print(f"  {pointer.version} stays: {pointer.active_hold}; `aerocast lift` ends that")
        _release(home, release.load(home, feed.name, target, pointer.version), feed)


def _release(home: Home, serving: Release, feed: Feed) -> None:
    manifest = serving.manifest
    print(f"  serving {serving.version}: {manifest.kind}, trained to {to_minute(manifest.lineage.training_end)}")
    short = ", ".join(
        f"{scores.skill:+.3f} at {duration(horizon * feed.cadence)}"
        for horizon, scores in manifest.metrics.sequence.items()
    )
    if short:
        print(f"  sequences of {manifest.window.steps} steps without a time: skill {short}")
    _cover(home, feed, manifest, manifest.kind, manifest.metrics.horizons)
    _cover(home, feed, manifest, SEQUENCE, manifest.metrics.sequence)


def _cover(home: Home, feed: Feed, manifest: Manifest, kind: str, scored: Mapping[int, Scores]) -> None:
    """Why an interval covers more or less than it says: how errors compare with those that calibrated it."""
    found = candidates.read_candidate(home, feed.name, manifest.target, kind)
    for horizon, scores in scored.items():
        if abs((scores.coverage or 0.0) - feed.promotion.coverage) <= feed.promotion.coverage_tolerance:
            continue
        ahead = duration(horizon * feed.cadence)
        said = f"the {feed.promotion.coverage:.0%} interval of {kind} at {ahead} covers {scores.coverage:.1%}"
        before = found.validation.get(f"calibration_rmse_{horizon}") if found else None
        why = f": RMSE {scores.rmse:.2f} {manifest.unit} there, {before:.2f} in the calibration weeks" if before else ""
        print(f"  {said} of the test rows{why}")


def print_answer(answer: Mapping[str, Any]) -> None:
    """The server's forecast, and why it is degraded if it is."""
    _heading(f"The server's forecast for {answer['station']}, from {answer['origin']}")
    for forecast in answer["forecasts"]:
        low, high = forecast["lower"], forecast["upper"]
        interval = f"{answer['level']:.0%} interval {low:.1f} to {high:.1f}"
        print(f"  {forecast['time']}  {forecast['value']:6.1f} {answer['unit']}   {interval}")
    inputs = "its inputs are degraded:" if answer["degraded"] else "from measured, fresh inputs"
    print(f"  by {answer['model']['kind']} {answer['model']['version']}, {inputs}")
    for reason in answer["reasons"]:
        print(f"    {reason['detail']}")


def print_times(done: Sequence[Step], seconds: float, *, verbose: bool) -> None:
    """The seconds in all; `verbose`: of each step, too."""
    _heading("Seconds")
    for name, took, note in done if verbose else ():
        print(f"  {name:<48}{took:>7.1f}  {note}".rstrip())
    unchanged = sum(note == "unchanged" for _, _, note in done)
    computed = sum(note == "computed" for _, _, note in done)
    print(f"  {'in all':<{48 if verbose else 6}}{seconds:>7.1f}  {computed} computed, {unchanged} unchanged")


def print_files(home: Home, feed: Feed, waiting: Mapping[str, str]) -> None:
    """Where to look, and what to type next."""
    from aerocast.tables.training import csv_path

    for target in feed.targets:
        if target not in waiting:
            print(f"\nPlot          {picture_path(home, feed, target)}")
            print(f"Windowed CSV  {csv_path(home, feed, target)}")
    print("\nNext: `aerocast up` starts the Dagster UI and the server, `aerocast sql` opens the tables,")
    print("`aerocast --help` says more. The program is in .venv/bin; `make up` and `make sql` run the same.")
