"""What stops one of several assets or checks of a step costs no other."""

import logging
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from aerocast.common.errors import AeroCastError
from aerocast_assets.batch import one_by_one

LOG = logging.getLogger("test")


def failing(error: Exception) -> Callable[[], str]:
    def make() -> str:
        raise error

    return make


def drain(results: Iterator[str]) -> tuple[list[str], str]:
    """All results, and the error after them."""
    arrived: list[str] = []
    with pytest.raises(AeroCastError) as error:
        deque(map(arrived.append, results), maxlen=0)
    return arrived, str(error.value)


def test_failures_come_after_all_results() -> None:
    makers = {
        "gru": failing(OSError("the disk is full")),
        "linear": lambda: "a line",
        "xgboost": failing(AeroCastError("no rows")),
        "persistence": lambda: "the last value",
    }
    assert drain(one_by_one(makers, LOG)) == (
        ["a line", "the last value"],
        "gru: the disk is full; xgboost: no rows",
    )


def test_without_failure_nothing_is_raised() -> None:
    assert list(one_by_one({"linear": lambda: "a line"}, LOG)) == ["a line"]
    assert list(one_by_one(dict[str, Callable[[], str]](), LOG)) == []


def test_each_result_is_there_before_the_next_is_made() -> None:
    """An event is stored when it is yielded: a process that is killed later has not lost it."""
    order: list[str] = []

    def make(name: str) -> Callable[[], str]:
        def maker() -> str:
            order.append(f"made {name}")
            return name

        return maker

    for name in one_by_one({"a": make("a"), "b": make("b")}, LOG):
        order.append(f"took {name}")
    assert order == ["made a", "took a", "made b", "took b"]
