"""Several assets or checks that one step makes: what stops one of them costs no other."""

from collections.abc import Callable, Iterator, Mapping
from logging import Logger
from typing import TypeVar

from aerocast.common.errors import AeroCastError

Result = TypeVar("Result")


def one_by_one(makers: Mapping[str, Callable[[], Result]], log: Logger) -> Iterator[Result]:
    """What each of them makes.

    Raises:
        AeroCastError: at the end, with the sentence of each that failed.
    """
    failures: dict[str, Exception] = {}
    for name, make in makers.items():
        try:
            result = make()
        except Exception as error:  # whatever stops it, the others go on
            log.warning(f"{name} failed: {error}", exc_info=True)
            failures[name] = error
        else:
            yield result
    if failures:
        text = "; ".join(f"{name}: {error}" for name, error in failures.items())
        raise AeroCastError(text) from next(iter(failures.values()))
