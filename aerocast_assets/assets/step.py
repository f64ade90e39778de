"""Steps: a function, and the assets or checks that it makes.

Dagster's own decorators come to the same, but load slower: specs are made of arguments, and each function's signature
is made again and again.
"""

import inspect
from collections.abc import Callable
from types import FunctionType as Function
from typing import Any

import dagster as dg

from aerocast_assets.labels import Draft, linked
from aerocast_assets.origin import origin_metadata


def step(
    *drafts: Draft, name: str = "", pool: str | None = None, files: tuple[str, ...] = ()
) -> Callable[[Any], dg.AssetsDefinition]:
    """Decorates what makes these assets, of several any that are asked for; `files` are those of each of them.

    Partitions of a run are made in one go. The step has the name of its only asset, or the one given.
    """

    def define(function: Function) -> dg.AssetsDefinition:
        specs = [
            linked(draft, function, file) for draft, file in zip(drafts, files or [None] * len(drafts), strict=True)
        ]
        return dg.multi_asset(
            name=name or specs[0].key.to_python_identifier(),
            description=specs[0].description if len(specs) == 1 else None,
            specs=specs,
            can_subset=len(specs) > 1,
            pool=pool,
            backfill_policy=dg.BackfillPolicy.single_run() if specs[0].partitions_def else None,
        )(with_signature(function))

    return define


def check_step(
    *specs: dg.AssetCheckSpec, name: str = "", can_subset: bool = False
) -> Callable[[Any], dg.AssetChecksDefinition]:
    """Decorates what makes these checks; the step has the name of its only check, or the one given."""

    def define(function: Function) -> dg.AssetChecksDefinition:
        own = origin_metadata()
        return dg.multi_asset_check(
            name=name or specs[0].get_python_identifier(),
            specs=[spec.with_metadata(own) for spec in specs],
            can_subset=can_subset,
        )(with_signature(function))

    return define


def with_signature(function: Any) -> Any:
    """The function with its signature as an attribute, for which Dagster asks a dozen times and makes it again."""
    function.__signature__ = inspect.signature(function)
    return function
