"""Alarms: one opens, one is over, whatever the order of looks, and every channel has each of the two once."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from aerocast.contracts import alarms
from aerocast.contracts.alarms import Alarm, AlarmKind, AlarmState, Condition, Judgement, key_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOMS = ("hook", "mail")


def condition(feed: str, sentence: str = "it is so", kind: AlarmKind = "feed_silent") -> Condition:
    return Condition(kind, sentence, feed)


def looked(state: AlarmState, now: datetime, *feeds: str, unclear: tuple[str, ...] = ()) -> AlarmState:
    return alarms.observe(state, "platform", Judgement(tuple(map(condition, feeds)), unclear), now)


def test_what_lasts_opens_once_with_the_words_it_began_with() -> None:
    first = looked(AlarmState(), NOW, "noaa")
    later = alarms.observe(first, "platform", Judgement((condition("noaa", "other words"),)), NOW + timedelta(hours=1))
    assert later == first
    (alarm,) = later.alarms
    assert alarm.condition.sentence == "it is so"


def test_same_condition_again_is_another_alarm() -> None:
    state = AlarmState()
    for hour, feeds in enumerate((("noaa",), (), ("noaa",), ())):
        state = looked(state, NOW + timedelta(hours=hour), *feeds)
    assert len({alarm.id for alarm in state.alarms}) == 2
    assert not state.open_keys


def test_what_is_unclear_neither_ends_nor_opens() -> None:
    prefix = f"{key_of('feed_silent', 'noaa')}/"
    state = looked(AlarmState(), NOW, "noaa")
    assert looked(state, NOW, unclear=(prefix,)) == state
    assert looked(AlarmState(), NOW, "noaa", unclear=(prefix,)) == AlarmState()
    assert not looked(state, NOW, unclear=(f"{key_of('feed_silent', 'noa')}/",)).open_keys, "of another feed"


@given(
    st.lists(st.frozensets(st.sampled_from("abc")), max_size=12),
    st.lists(st.tuples(st.sampled_from(ROOMS), st.booleans()), max_size=60),
    st.randoms(use_true_random=False),
)
def test_each_channel_hears_one_beginning_and_one_end(
    looks: list[frozenset[str]], sends: list[tuple[str, bool]], chance: object
) -> None:
    """Looks and sends in any order, some of them in vain; in the end all channels work and nothing holds any more."""
    state, heard, opened = AlarmState(), list[tuple[str, str, str]](), 0
    steps: list[frozenset[str] | tuple[str, bool]] = [*looks, *sends]
    chance.shuffle(steps)  # type: ignore[attr-defined]
    now, before = NOW, frozenset[str]()
    for step in [*steps, frozenset[str](), *[(room, True) for room in ROOMS for _ in range(60)]]:
        now += timedelta(seconds=1)
        if isinstance(step, frozenset):
            state = looked(state, now, *step)
            opened, before = opened + len(step - before), step
        else:
            room, works = step
            due = alarms.letters(state, room, alarms.KINDS)
            if due and works:
                heard.append((room, due[0].alarm.id, due[0].phase))
                state = alarms.note_delivery(state, due[0], room)
        state = alarms.settle(state, ROOMS, alarms.KINDS)
    assert len(heard) == len(set(heard)) == 2 * len(ROOMS) * opened
    for room in ROOMS:
        own = [(name, phase) for each, name, phase in heard if each == room]
        assert all(own.index((name, "began")) < own.index((name, "over")) for name, _ in own)
    assert all(alarm.closed for alarm in state.alarms)


def test_kinds_that_nobody_wants_are_kept_and_not_told() -> None:
    state = looked(AlarmState(), NOW, "noaa")
    assert alarms.letters(state, "hook", ["disk_full"]) == []
    over = alarms.settle(looked(state, NOW + timedelta(1)), ["hook"], ["disk_full"])
    assert [alarm.closed for alarm in over.alarms] == [True]


def test_past_is_kept_short_and_what_is_open_stays() -> None:
    old = tuple(Alarm(str(number), condition("noaa"), NOW, NOW, closed=True) for number in range(alarms.PAST + 30))
    state = alarms.settle(AlarmState((Alarm("open", condition("b"), NOW), *old)), [], alarms.KINDS)
    assert len(state.alarms) == alarms.PAST + 1
    assert state.alarms[0].is_open


def test_waiting_letters_are_bounded_by_the_oldest_that_are_over() -> None:
    over = tuple(Alarm(str(number), condition("noaa"), NOW, NOW) for number in range(alarms.MOST + 5))
    state = alarms.settle(AlarmState((Alarm("open", condition("b"), NOW), *over)), ["hook"], alarms.KINDS)
    assert len(state.alarms) == alarms.MOST
    assert [state.alarms[0].id, state.alarms[-1].id] == ["open", str(alarms.MOST + 4)]
