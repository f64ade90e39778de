"""The ring of events: what any listener reads has no duplicate and no gap, or says that it has one."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.journal import Choice, Journal
from serving.notices import ForecastNotice, ForecastStep, OutcomeNotice

AT = datetime(2026, 1, 5, tzinfo=UTC)


def outcome(feed: str = "noaa", station: str | None = None) -> OutcomeNotice:
    return OutcomeNotice(at=AT, feed=feed, source="observations", station=station, readings=1)


def forecast(horizons: int) -> ForecastNotice:
    steps = [ForecastStep(at, AT, 1.0, 0.0, 2.0) for at in range(horizons)]
    return ForecastNotice(
        at=AT,
        feed="noaa",
        target="temperature",
        station="JFK",
        unit="degF",
        id="x",
        origin=AT,
        version="1",
        model="gru",
        degraded=False,
        level=0.9,
        forecasts=steps,
    )


def numbers(block: bytes) -> list[int]:
    return [int(line.split(b"-")[1]) for line in block.split(b"\r\n") if line.startswith(b"id: ")]


STEPS = st.lists(st.one_of(st.integers(1, 9).map(lambda count: ("publish", count)), st.just(("read", 0))), max_size=60)


@given(steps=STEPS, most=st.integers(1, 20), odd=st.booleans())
def test_reader_has_no_gap_or_is_told(steps: list[tuple[str, int]], most: int, odd: bool) -> None:
    """Each read is of a client that comes back with the id that it saw last."""
    journal, choice = Journal(most, start=7), Choice(feed="a" if odd else None)
    last, seen, lost = journal.name(0), list[int](), set[int]()
    for step, count in [*steps, ("read", 0)]:
        if step == "publish":
            journal.publish(outcome("ab"[at % 2]) for at in range(journal.newest + 1, journal.newest + count + 1))
            continue
        number, told = journal.resume(last)
        if told:
            lost |= {*range(int(last.split("-")[1]) + 1, number + 1)}
        while number < journal.newest:
            reading = journal.read(number, choice)
            assert not reading.is_behind
            seen += numbers(reading.block)
            number = reading.number
        last = journal.name(number)
    assert seen == sorted({*seen})
    wanted = {at for at in range(1, journal.newest + 1) if not odd or at % 2 == 0}
    assert {*seen} | (lost & wanted) == wanted
    assert not {*seen} & lost


@given(st.text())
def test_any_other_id_is_one_of_another_process(name: str) -> None:
    journal = Journal(start=7)
    journal.publish([outcome()])
    number, told = journal.resume(name)
    assert told is None if name in ("", "7-0", "7-1") else told and (number, told.reason) == (1, "other-process")


def test_one_that_falls_behind_is_told() -> None:
    journal = Journal(3)
    journal.publish(outcome() for _ in range(4))
    assert journal.read(0, Choice()).is_behind
    assert numbers(journal.read(1, Choice()).block) == [2, 3, 4]


def test_ring_is_bounded_by_what_forecasts_hold() -> None:
    journal = Journal()
    journal.publish(forecast(10_000) for _ in range(30))
    assert journal.resume(journal.name(19))[1] is not None
    assert numbers(journal.read(20, Choice()).block)[0] == 21


def test_newest_note_of_each_slot_is_kept() -> None:
    journal = Journal()
    for count in range(1000):
        journal.note(("forecast", count % 3), forecast(count))
    assert [len(each.forecasts) for each in journal.take_notes() if isinstance(each, ForecastNotice)] == [999, 997, 998]
    assert journal.take_notes() == []


def test_place_is_given_back_however_the_listener_ends() -> None:
    journal = Journal(most_listeners=1)
    with pytest.raises(KeyError), journal.place():
        raise KeyError
    with journal.place(), pytest.raises(Exception, match="listen already"), journal.place():
        pass
    assert journal.listeners == 0


def test_bell_wakes_all_that_wait() -> None:
    async def wait() -> int:
        journal = Journal()
        waiting = [asyncio.create_task(journal.bell.wait()) for _ in range(5)]
        await asyncio.sleep(0)
        journal.publish([outcome()])
        return sum(await asyncio.gather(*waiting))

    assert asyncio.run(wait()) == 5
