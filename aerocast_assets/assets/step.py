"""Steps: a function, and the assets or checks that it makes.

Dagster's own decorators come to the same, but load slower: specs are made of arguments, each function's signature is
made again and again, and the schema of its config once more for each step.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import FunctionType as Function
from typing import Any

import dagster as dg

from aerocast_assets.labels import Draft, linked
from aerocast_assets.origin import origin_metadata


def step(
    *drafts: Draft,
    name: str = "",
    pool: str | None = None,
    files: tuple[str, ...] = (),
    checks: Sequence[dg.AssetCheckSpec] = (),
) -> Callable[[Any], dg.AssetsDefinition]:
    """Decorates what makes these assets and checks, of several any that are asked for; `files` are those of each asset.

    Partitions of a run are made in one go. The step has the name of its only asset, or the one given.
    """

    def define(function: Function) -> dg.AssetsDefinition:
        specs = [
            linked(draft, function, file) for draft, file in zip(drafts, files or [None] * len(drafts), strict=True)
        ]
        body, fields = _with_plain_config(function)
        return dg.multi_asset(
            name=name or specs[0].key.to_python_identifier(),
            description=specs[0].description if len(specs) == 1 else None,
            specs=specs,
            check_specs=[check.with_metadata(origin_metadata()) for check in checks],
            can_subset=len(specs) + len(checks) > 1,
            pool=pool,
            backfill_policy=dg.BackfillPolicy.single_run() if specs[0].partitions_def else None,
            config_schema=fields,
        )(body)

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


def _with_plain_config(function: Any) -> tuple[Any, Mapping[str, Any] | None]:
    """The function without its argument `config`, if it has one, which it gets nevertheless; and the fields of that."""
    signature = inspect.signature(function)
    if "config" not in signature.parameters:
        return with_signature(function), None
    kind = signature.parameters["config"].annotation

    def body(context: dg.AssetExecutionContext, **resources: Any) -> Iterator[Any]:
        result = function(context, config=kind(**context.op_execution_context.op_config), **resources)
        yield from result if inspect.isgenerator(result) else [result]

    rest = [each for name, each in signature.parameters.items() if name != "config"]
    own: Any = body
    own.__signature__ = signature.replace(parameters=rest, return_annotation=signature.empty)
    return own, _fields(kind)


@cache
def _fields(kind: type[dg.Config]) -> Mapping[str, Any]:
    return kind.to_fields_dict()


def with_signature(function: Any) -> Any:
    """The function with its signature as an attribute, for which Dagster asks a dozen times and makes it again."""
    function.__signature__ = inspect.signature(function)
    return function
