"""Where a feed's definitions come from: what Dagster shows of the component that makes them and of its declaration.

Dagster adds that afterwards, to a copy of each definition. Assets and checks have it from the beginning: for six feeds
the copies take a thirtieth of `import dagster`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import dagster as dg

from aerocast_assets._compat import ObjectMetadataValue


class Origin(NamedTuple):
    """A component, and the place of its declaration."""

    component: dg.Component
    declaration: dg.LocalFileCodeReference


_CURRENT: ContextVar[Origin | None] = ContextVar("origin", default=None)


@contextmanager
def origin(component: dg.Component, declaration: dg.LocalFileCodeReference) -> Iterator[None]:
    """What is defined in the block comes from this component."""
    token = _CURRENT.set(Origin(component, declaration))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def origin_metadata(*code: dg.LocalFileCodeReference) -> dict[str, Any]:
    """The metadata of a definition: links to its code and to the declaration, and the component, if there is one."""
    current = _CURRENT.get()
    links = [*code, current.declaration] if current else list(code)
    metadata: dict[str, Any] = {"dagster/component_origin": ObjectMetadataValue(current.component)} if current else {}
    if links:
        metadata["dagster/code_references"] = dg.CodeReferencesMetadataValue(code_references=links)
    return metadata
