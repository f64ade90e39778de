"""Several assets or checks that one step makes: what stops one of them costs no other."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from logging import Logger
from typing import NamedTuple, TypeVar

import dagster as dg

from aerocast.common.errors import AeroCastError
from aerocast_assets.assets.step import check_step
from aerocast_assets.resources import Platform

Result = TypeVar("Result")


class Check(NamedTuple):
    """A check, and how it comes to its result."""

    spec: dg.AssetCheckSpec
    result: Callable[[dg.AssetCheckExecutionContext, Platform], dg.AssetCheckResult]


def check_together(name: str, *checks: Check) -> dg.AssetChecksDefinition:
    """One step of that name for checks of the same assets, each of which can be made alone: a step costs more to load
    and to run than most checks."""
    by_key = {each.spec.key: each for each in checks}

    @check_step(*(each.spec for each in checks), name=name, can_subset=True)
    def check(context: dg.AssetCheckExecutionContext, platform: Platform) -> Iterator[dg.AssetCheckResult]:
        selection = {
            own.name: partial(_evaluate, own, each, context, platform)
            for own, each in by_key.items()
            if own in context.selected_asset_check_keys
        }
        yield from one_by_one(selection, context.log)

    return check


def _evaluate(
    own: dg.AssetCheckKey, check: Check, context: dg.AssetCheckExecutionContext, platform: Platform
) -> dg.AssetCheckResult:
    return check.result(context, platform)._replace(asset_key=own.asset_key, check_name=own.name)


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
