"""Events of surprising steps: where they begin, get worse and end, and that giving steps in parts changes nothing."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aerocast.monitoring.anomalies.events import OPEN, REST, Evidence, Span, Step, alarms, calm, follow

DAY = 24
ALONE = Evidence({"temperature": 1.0})


def _steps(surprise: dict[int, float]) -> list[Step]:
    return [Step(at, value, ALONE) for at, value in sorted(surprise.items())]


def test_event_spans_its_surprising_steps_and_has_its_worst_one() -> None:
    (event,) = follow(None, _steps({10: 1.0, 11: 3.2, 12: 0.0, 13: 4.1, 14: 3.0, 15: 2.9}), DAY)
    assert event == Span(11, 14, 13, 4.1, ALONE, alarms=2)
    assert not event.is_over(15, DAY)
    assert event.is_over(14 + calm(DAY), DAY)


def test_event_that_comes_again_soon_is_the_same() -> None:
    within, later = REST * DAY, REST * DAY + 1
    assert len([*follow(None, _steps({0: OPEN, within: OPEN}), DAY)]) == 1
    assert len([*follow(None, _steps({0: OPEN, later: OPEN}), DAY)]) == 2


def test_missing_and_calm_steps_are_no_event() -> None:
    assert not [*follow(None, _steps({0: float("nan"), 1: OPEN - 0.1}), DAY)]


@given(
    surprise=st.lists(st.floats(0, 8), max_size=300),
    cuts=st.lists(st.integers(0, 300), max_size=4),
    per_day=st.sampled_from([4, 24]),
)
def test_steps_in_parts_come_to_the_same(surprise: list[float], cuts: list[int], per_day: int) -> None:
    steps = _steps(dict(enumerate(surprise)))
    whole = [*follow(None, steps, per_day)]
    parts: list[Span] = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(steps)], strict=True):
        newest = parts.pop() if parts else None
        parts += follow(newest, steps[start:end], per_day)
    assert parts == whole


def test_alarm_is_raised_where_it_begins_and_where_it_gets_worse() -> None:
    surprise = np.zeros(200)
    surprise[[10, 11, 20, 21, 120]] = [3.1, 3.4, 3.6, 3.2, 3.1]
    raised = alarms(surprise, DAY)
    assert {int(at): float(raised[at]) for at in np.flatnonzero(raised)} == {10: 3.0, 20: 3.5, 120: 3.0}
