"""What `aerocast run` ends with: rows, candidates, champion, forecast, times, and what to type next."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
import msgspec

from aerocast.common.times import to_minute
from aerocast.common.words import count, duration
from aerocast.contracts.manifest import Manifest, Scores
from aerocast.feed.declaration import BASELINES, Feed
from aerocast.feed.model_kind import MODELS, SEQUENCE
from aerocast.lake import Lake, LakeReader, connection
from aerocast.models import candidates
from aerocast.promotion import gate
from aerocast.promotion import table as promotions
from aerocast.promotion.overview import rows_of_scores, shortfall
from aerocast.promotion.scoring import ALL, Score
from aerocast.releases import release
from aerocast.releases.release import Release
from aerocast.storage.home import Home
from aerocast_assets.assets.describe import COMPUTED, STATUS, UNCHANGED
from aerocast_assets.assets.forecasts import picture_path
from aerocast_assets.keys import table
from aerocast_assets.progress import verdict
from cli.failures import Failure, Standing

Step = tuple[str, float, tuple[str, ...]]


def steps(result: dg.ExecuteInProcessResult) -> list[Step]:
    """Each step's name, seconds, and of each asset that it makes whether that was there already."""
    statuses: dict[str | None, dict[dg.AssetKey | None, str]] = {}
    for event in result.get_asset_materialization_events():
        if status := event.materialization.metadata.get(STATUS):
            statuses.setdefault(event.step_key, {})[event.asset_key] = str(status.value)
    ends = [event for event in result.all_events if event.event_type_value == "STEP_SUCCESS" and event.step_key]
    return [
        (
            str(event.step_key).replace("__", "/"),
            event.step_success_data.duration_ms / 1000,
            tuple(statuses.get(event.step_key, {}).values()),
        )
        for event in ends
    ]


def print_failures(failed: Sequence[Failure]) -> None:
    """A paragraph of failures, one line each."""
    print("\nFAILED", flush=True)
    for failure in failed:
        print(f"  {failure}")


def print_standings(standings: Sequence[Standing]) -> None:
    """One line a target, where there are several."""
    if len(standings) < 2:
        return
    _heading("Targets")
    width = max(len(each.target) for each in standings)
    for each in standings:
        print(f"  {each.target:<{width}}  {each.text}")


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
            parts_text = " and ".join(count(number, what) for number, what in parts if number)
            print(f"  in quarantine by rule {rule}: {parts_text}, such as: {reason}")


def print_target(home: Home, feed: Feed, standing: Standing) -> None:
    """The candidates, and the champion; or why nothing serves."""
    lake, target = Lake(home), standing.target
    if scores := promotions.newest_scores(lake, feed.name, target):
        _candidates(scores, feed, target)
    if release.current(home, feed.name, target):
        _champion(lake, home, feed, target)
        return
    _heading(f"Nothing serves {target} yet")
    if standing.state == "poor" and scores:
        print(f"  {shortfall(scores, feed, target)}.")
        _table(rows_of_scores(scores, feed.horizons, feed.column(target).unit))
    else:
        print(f"  {standing.text}")


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of texts and numbers in columns: the first to the left, all others to the right."""
    names = list(rows[0])
    width = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in names}
    for line in (dict(zip(names, names, strict=True)), *rows):
        cells = [f"{line[name]!s:>{width[name]}}" for name in names[1:]]
        print(f"  {line[names[0]]!s:<{width[names[0]]}}  " + "  ".join(cells))


def _heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _candidates(scores: Sequence[promotions.Row], feed: Feed, target: str) -> None:
    models: dict[str, dict[int, promotions.Row]] = {}
    for row in scores:
        if row["station"] == ALL:
            models.setdefault(row["model"], {})[row["horizon"]] = row
    unit = feed.column(target).unit
    parsed = [msgspec.convert(row, Score) for row in scores]
    skills = {model: gate.skills(parsed, model) for model in models}
    _heading(f"Candidates for {target}, newest {feed.split.test:.0%} of time, all stations")
    print("  skill over the better of persistence and seasonal naive | MAE | share of outcomes inside the interval")
    print(f"  {'':<15}{'composite':>9}" + "".join(f"{duration(h * feed.cadence):>32}" for h in feed.horizons))
    for model, rows_by_horizon in sorted(models.items(), key=lambda item: (item[1][0]["composite"], item[0])):
        cells = []
        for horizon in feed.horizons:
            row, share = rows_by_horizon[horizon], rows_by_horizon[horizon]["coverage"]
            share = "" if share is None else f"{share:.1%}"
            cells.append(f"  {row['skill']:+.3f} | {_figure(row['mae'])} {unit} | {share:>5}")
        weak = [
            duration(h * feed.cadence) for h in feed.horizons if not skills[model][h].beat(feed.promotion.min_skill)
        ]
        beaten = f"   does not beat both baselines at {' and '.join(weak)}" if weak else ""
        beaten = "   (baseline)" if model in BASELINES else beaten
        beaten += "   (cannot serve)" if model in feed.candidates and not MODELS.find(model).serves else ""
        print(
            f"  {model:<15}{rows_by_horizon[0]['composite']:>9.4f}" + "".join(f"{cell:>32}" for cell in cells) + beaten
        )


def _figure(value: float) -> str:
    """Two decimals, or two digits of what has none there."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


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
    for horizon in manifest.horizons if manifest.kinds else ():
        if (kind := manifest.kind_at(horizon)) != manifest.kind or horizon in manifest.served_by:
            name = manifest.served_by.get(horizon)
            why = f"{name}, for no new model is better than both baselines there" if name else kind
            print(f"    {duration(horizon * feed.cadence)} ahead by {why}")
    short = ", ".join(
        f"{scores.skill:+.3f} at {duration(horizon * feed.cadence)}"
        for horizon, scores in manifest.metrics.sequence.items()
    )
    if short:
        print(f"  sequences of {manifest.window.steps} steps without a time: skill {short}")
    sequence = candidates.read_candidate(home, feed.name, manifest.target, SEQUENCE)
    _cover(feed, manifest, manifest.kind_at, manifest.metrics.horizons, manifest.lineage.validation)
    _cover(feed, manifest, lambda _: SEQUENCE, manifest.metrics.sequence, sequence.validation if sequence else {})


def _cover(
    feed: Feed,
    manifest: Manifest,
    kind_at: Callable[[int], str],
    scored: Mapping[int, Scores],
    calibration: Mapping[str, float],
) -> None:
    """Why an interval covers more or less than it says: how errors compare with those that calibrated it."""
    for horizon, scores in scored.items():
        if abs((scores.coverage or 0.0) - feed.promotion.coverage) <= feed.promotion.coverage_tolerance:
            continue
        kind, ahead = kind_at(horizon), duration(horizon * feed.cadence)
        sentence = f"the {feed.promotion.coverage:.0%} interval of {kind} at {ahead} covers {scores.coverage:.1%}"
        before = calibration.get(f"calibration_rmse_{horizon}")
        why = f": RMSE {scores.rmse:.2f} {manifest.unit} there, {before:.2f} in the calibration weeks" if before else ""
        print(f"  {sentence} of the test rows{why}")


def print_answer(answer: Mapping[str, Any]) -> None:
    """The server's forecast, and why it is degraded if it is."""
    _heading(f"The server's forecast for {answer['station']}, from {answer['origin']}")
    for forecast in answer["forecasts"]:
        low, high = forecast["lower"], forecast["upper"]
        interval = f"{answer['level']:.0%} interval {low:.1f} to {high:.1f}"
        stand_in = f"   by {forecast['served_by']}" if "served_by" in forecast else ""
        print(f"  {forecast['time']}  {forecast['value']:6.1f} {answer['unit']}   {interval}{stand_in}")
    inputs = "its inputs are degraded:" if answer["degraded"] else "from measured, fresh inputs"
    print(f"  by release {answer['model']['version']} ({answer['model']['kind']}), {inputs}")
    for reason in answer["reasons"]:
        print(f"    {reason['detail']}")


def print_times(durations: Sequence[Step], seconds: float, *, verbose: bool) -> None:
    """The seconds in all; `verbose`: of each step, too."""
    _heading("Seconds")
    for name, took, statuses in durations if verbose else ():
        note = statuses[0] if len(statuses) == 1 else ", ".join(f"{n} {word}" for word, n in Counter(statuses).items())
        print(f"  {name:<48}{took:>7.1f}  {note}".rstrip())
    words = Counter(status for _, _, statuses in durations for status in statuses)
    computed, unchanged = words[COMPUTED], words[UNCHANGED]
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
