"""Why steps of a run failed, in a sentence each, and how each target of the feed stands after it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import dagster as dg

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.promotion.overview import kinds
from aerocast.releases import release
from aerocast.storage.home import Home
from aerocast_assets.checks.skill import STEP

State = Literal["serves", "poor", "waits", "failed"]
EVENTS = frozenset((dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION))


class Failure(NamedTuple):
    """A step that failed, with our own sentence where there is one, or else what was raised first of all."""

    step: str
    reason: str

    def __str__(self) -> str:
        return f"{self.step.replace('__', '/')}: {self.reason}"


class Standing(NamedTuple):
    """How a target stands: a release `serves`, no model was good enough (`poor`), it `waits` for rows, it `failed`."""

    target: str
    state: State
    text: str


def failures(events: Iterable[dg.DagsterEvent]) -> list[Failure]:
    """The failed steps among the events of a run, without tracebacks; a check that blocks says what it found."""
    every = list(events)
    findings: dict[str, list[str]] = {}
    for event in every:
        if (
            event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
            and not event.asset_check_evaluation_data.passed
        ):
            check = event.asset_check_evaluation_data
            findings.setdefault(event.step_key or "", []).append(f"{check.check_name}: {check.description}")
    failed = [each for each in every if each.event_type is dg.DagsterEventType.STEP_FAILURE]
    return [
        Failure(str(each.step_key), _reason(each, findings.get(each.step_key or "", [])))
        for each in failed
        if each.step_failure_data.error
    ]


def _reason(event: dg.DagsterEvent, findings: Sequence[str]) -> str:
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    error = failure.error
    if findings and error and error.cls_name == "DagsterAssetCheckFailedError":
        return "; ".join(findings)
    while error and error.cause and error.cls_name != AeroCastError.__name__:
        error = error.cause
    return str(error.message).strip().removeprefix("aerocast.common.errors.AeroCastError: ") if error else "no reason"


def beside_targets(feed: Feed, failed: Iterable[Failure]) -> list[Failure]:
    """The failures of what all targets have in common."""
    return [each for each in failed if not any(_is_of(feed, target, each) for target in feed.targets)]


def standings(home: Home, feed: Feed, failed: Sequence[Failure], waiting: Mapping[str, str]) -> list[Standing]:
    """Each target after a run with these failures; `waiting` as `cli.run.unserved` gives it."""
    return [_standing(home, feed, target, failed, waiting) for target in feed.targets]


def _standing(home: Home, feed: Feed, target: str, failed: Sequence[Failure], waiting: Mapping[str, str]) -> Standing:
    own = [each for each in failed if _is_of(feed, target, each)]
    now, serving = release.serving_release(home, feed.name, target), ""
    if now.release:
        serving = f"serves {now.release.version}: {kinds(now.release.manifest)}"
    elif now.pointer is None:  # then these checks say no more than that nothing serves
        own = [each for each in own if not each.step.endswith(STEP)]
    if own:
        return Standing(target, "failed", f"FAILED: {'; '.join(map(str, own))}" + (f"; {serving}" if serving else ""))
    if serving:
        return Standing(target, "serves", serving)
    lack = waiting.get(target)
    return Standing(target, "waits", f"waits: {lack}") if lack else Standing(target, "poor", "no model was good enough")


def _is_of(feed: Feed, target: str, failure: Failure) -> bool:
    return failure.step.startswith(f"{feed.name}__{target}__")
