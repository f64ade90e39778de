"""Finds the class of a kind by its name: a module of one of our packages, or an entry point of an installed package.

The module of a kind has its name and defines one class with that `kind`: a class attribute, or a pydantic field with
that one value. Modules whose name begins with an underscore are not kinds. Only the kinds asked for are imported.
"""

import pkgutil
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, Generic, TypeVar, get_args

from aerocast.common.declaration import not_allowed
from aerocast.common.errors import AeroCastError

T = TypeVar("T")


class Registry(Generic[T]):
    """The subclasses of `base`, which may be abstract, by `kind`: modules of `package`, and entry points of `group`."""

    def __init__(self, base: Any, package: str, group: str) -> None:
        self._base, self._package, self._group = base, package, group
        self._classes: dict[str, type[T]] = {}

    def names(self) -> list[str]:
        """Every kind, ours first, each group sorted; no kind is imported."""
        own = self._own
        return [*own, *sorted({each.name for each in self._installed()} - set(own))]

    def find(self, kind: str) -> type[T]:
        """The class of a kind.

        Raises:
            AeroCastError: there is no such kind, two packages provide it, or the module defines no such class.
        """
        if kind not in self._classes:
            self._classes[kind] = self._load(kind)
        return self._classes[kind]

    def _load(self, kind: str) -> type[T]:
        if kind in self._own:
            module = import_module(f"{self._package}.{kind}")
            return self._only(kind, [each for each in vars(module).values() if self._is_kind(each, kind)], module)
        entries = [each for each in self._installed() if each.name == kind]
        if not entries:
            raise AeroCastError(f"{not_allowed(kind, self.names())}; another one needs the package that provides it")
        if len(entries) > 1:
            packages = ", ".join(sorted(f"{each.dist.name if each.dist else each.value}" for each in entries))
            raise AeroCastError(f"kind {kind!r} is provided by several packages: {packages}")
        try:
            value = entries[0].load()
        except Exception as error:  # somebody else's code
            raise AeroCastError(f"kind {kind!r} ({entries[0].value}) cannot be imported: {error}") from error
        return self._only(kind, [value] if self._is_kind(value, kind) else [], entries[0].value)

    def _is_kind(self, value: object, kind: str) -> bool:
        """Whether it is a class of that kind: its attribute `kind`, or a value of a field's `Literal`."""
        if not (isinstance(value, type) and issubclass(value, self._base)):
            return False
        field = getattr(value, "model_fields", {}).get("kind")
        return kind in (get_args(field.annotation) if field else (getattr(value, "kind", None),))

    def _only(self, kind: str, classes: list[type[T]], module: object) -> type[T]:
        if len(classes) != 1:
            raise AeroCastError(f"{module} defines {len(classes)} classes of kind {kind!r}: it must be one")
        if absent := sorted(getattr(classes[0], "__abstractmethods__", ())):
            raise AeroCastError(f"kind {kind!r} ({module}) does not define {', '.join(absent)}")
        return classes[0]

    @cached_property
    def _own(self) -> list[str]:
        package = find_spec(self._package)
        folders = package.submodule_search_locations if package else None
        return sorted(each.name for each in pkgutil.iter_modules(folders) if not each.name.startswith("_"))

    def _installed(self) -> list[EntryPoint]:
        return list(entry_points(group=self._group))
