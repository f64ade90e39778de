"""Where readings come from: a source kind is one module here, or an entry point `aerocast.sources` of a package.

The module has the kind's name and defines one subclass of `SourceKind`: its parameters, its functions and what it
needs. Nothing else names a kind. A module that begins with an underscore is part of the kind in its name.
"""

from collections.abc import Hashable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Annotated, Any

from pydantic import BeforeValidator, GetJsonSchemaHandler, SerializeAsAny
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from aerocast.common.errors import AeroCastError
from aerocast.declaration import Mistake, refuse
from aerocast.registry import Registry
from aerocast.sources._base import SourceKind

__all__ = ["SOURCES", "Source", "SourceKind"]

DEFAULT = "csv"
SOURCES = Registry(SourceKind, __name__, "aerocast.sources")


def _parse(declared: Any) -> SourceKind:
    """The source that is declared, by the class of its kind."""
    if isinstance(declared, SourceKind):
        return declared
    if not isinstance(declared, Mapping):
        raise ValueError(f"{declared!r} must be a mapping with a kind")
    kind = str(declared.get("kind", DEFAULT))
    try:
        source = SOURCES.find(kind)
    except AeroCastError as error:
        refuse("source", [Mistake(("kind",), str(error))])
        raise
    absent = [name for name in source.needs if find_spec(name) is None]
    refuse(
        "source", [Mistake(("kind",), f"{kind!r} needs the module {name}, which is not installed") for name in absent]
    )
    return source.model_validate(declared)


class _AnyKind:
    """The parameters of each kind; a package that does not load is its declarations' trouble alone."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        kinds: dict[Hashable, CoreSchema] = {}
        for name in SOURCES.names():
            with suppress(AeroCastError):
                kinds[name] = SOURCES.find(name).__pydantic_core_schema__
        return handler(core_schema.tagged_union_schema(kinds, "kind"))


Source = Annotated[SourceKind, SerializeAsAny(), BeforeValidator(_parse), _AnyKind()]
