"""What the loop of a feed has done between two looks, as notices: retrains, and decisions on what serves."""

from collections.abc import Iterator
from datetime import datetime

from aerocast.contracts.loop_notes import DecisionNotes, PastDecision, RetrainNotes, RetrainRun
from serving.notices import Decided, PromotionNotice, RetrainNotice

_NOTHING = RetrainRun()


def retrain_notices(at: datetime, before: RetrainNotes | None, now: RetrainNotes | None) -> Iterator[RetrainNotice]:
    """How the newest runs differ; of a target that was not there before only one that is under way is news."""
    if now is None or now is before:
        return
    for target, run in now.runs.items():
        past = before.runs.get(target) if before else None
        if past is not None or run.outcome in (None, "running"):
            yield from _retrains(at, now.feed, target, past or _NOTHING, run)


def _retrains(at: datetime, feed: str, target: str, before: RetrainRun, now: RetrainRun) -> Iterator[RetrainNotice]:
    is_other = now.run_id != before.run_id
    if now.run_id and is_other:
        yield RetrainNotice(
            at=at,
            feed=feed,
            target=target,
            change="began",
            reason=now.reason,
            started=now.started,
            run_id=now.run_id,
        )
    if now.outcome and now.outcome != "running" and (is_other or before.outcome == "running"):
        yield RetrainNotice(
            at=at,
            feed=feed,
            target=target,
            change="ended",
            reason=now.reason,
            outcome=now.outcome,
            started=now.started,
            ended=now.ended,
            run_id=now.run_id,
        )
    if now.obstacle and now.obstacle != before.obstacle:
        yield RetrainNotice(at=at, feed=feed, target=target, change="waits", reason=now.obstacle)


def decision_notices(
    at: datetime, before: DecisionNotes | None, now: DecisionNotes | None, since: datetime
) -> Iterator[PromotionNotice]:
    """Decisions after the newest one that was there before, oldest first; if there was none, those from `since` on."""
    if now is None or now is before:
        return
    newest = max((each.decided_at for each in before.decisions), default=None) if before else None
    for each in sorted(now.decisions, key=lambda each: each.decided_at):
        if each.decided_at > newest if newest else each.decided_at >= since:
            yield _decision(at, now.feed, now.target, each)


def _decision(at: datetime, feed: str, target: str, own: PastDecision) -> PromotionNotice:
    return PromotionNotice(
        at=at,
        feed=feed,
        target=target,
        change=_change(own),
        version=own.version,
        reason=own.reason,
        decided_at=own.decided_at,
        model=own.winner,
        challenger=own.challenger,
        incumbent=own.incumbent,
        composite=own.composite,
        skill=own.skill,
        incumbent_composite=own.incumbent_composite,
        gain=own.gain,
        p_value=own.p_value,
        test_rows=own.test_rows,
        run_id=own.run_id,
    )


def _change(own: PastDecision) -> Decided:
    """What a decision came to; one without rows that judged is a choice."""
    if own.test_rows is not None:
        return "promoted" if own.promoted else "held" if own.hold else "refused"
    if not own.promoted:  # of what serves already
        return "held" if own.hold else "lifted"
    return "rolled_back" if own.incumbent and own.version and own.version < own.incumbent else "chosen"
