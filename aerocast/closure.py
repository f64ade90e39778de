"""What code a result is made by: the modules that a build module reaches through imports, as one short version.

Sources are read, never imported. Of each module its syntax tree counts: comments, docstrings, formatting and what only
a type checker reads do not. An import counts wherever it stands, at the top or in a function; a package counts where a
name is taken from its own `__init__`. A module that is imported by a computed name is no import: the caller names it.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import msgspec

# What neither counts nor is followed, for no result depends on how it works: an edit here must not make months stale.
NOT_COUNTED = frozenset(
    f"aerocast.{name}"
    for name in (
        # where bytes lie and how they get there and back whole
        *("home", "settings", "durable", "store", "shelves", "lake", "datafiles", "objectfiles", "storage_faults"),
        # how versions and contents are told apart, what time it is, how a refusal is worded
        *("closure", "lineage", "marks", "clock", "errors"),
        # the declaration: a layer hashes the values that it uses, so what else can be declared is nothing to it
        *("feed", "schema", "forecasters.params"),
    )
)


class Source(msgspec.Struct, frozen=True):
    """A module as it counts: the SHA-256 of its bytes and of what it does, and its imports as (module, name)."""

    read: str
    does: str
    imports: tuple[tuple[str, str | None], ...]


class _Known(msgspec.Struct):
    """Sources by module, as this very code sees them."""

    by: str
    sources: dict[str, Source]


class Package:
    """The sources of one package, such as `.../aerocast`. What was parsed is kept beside its byte code.

    Parsing all modules takes half as long as `import dagster`; a kept entry counts only for the same bytes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by = _sha(Path(__file__).read_bytes())
        self._kept = Path(cache_from_source(str(folder / "closure.py"))).with_suffix(".json")
        self._known = self._read_kept()
        self._files = _files(folder)
        self._sources: dict[str, Source] = {}
        self._imports: dict[str, list[str]] = {}

    def version(self, *starts: str) -> str:
        """Twelve hex digits of all that these modules reach, themselves included.

        Raises:
            ValueError: a module is not in the package.
        """
        digest = hashlib.sha256()
        for module in self.closure(*starts):
            digest.update(f"{module} {self._source(module).does}\n".encode())
        self._keep()
        return digest.hexdigest()[:12]

    def closure(self, *starts: str) -> list[str]:
        """The modules that these reach, themselves included, sorted; see `version`."""
        reached, waiting = set[str](), list(starts)
        while waiting:
            module = waiting.pop()
            if module not in reached:
                reached.add(module)
                waiting += self._imported(module)
        return sorted(reached)

    def _imported(self, module: str) -> list[str]:
        """The modules that count of those that a module imports; `from a import b` is of `a.b` if that is a module."""
        if module not in self._imports:
            named = {f"{origin}.{name}" if name else origin: origin for origin, name in self._source(module).imports}
            found = {each if each in self._files else origin for each, origin in named.items()}
            self._imports[module] = [each for each in found & self._files.keys() if not _apart(each)]
        return self._imports[module]

    def _source(self, module: str) -> Source:
        if module not in self._sources:
            if module not in self._files:
                raise ValueError(f"{module} is no module of {self._folder}")
            path = self._files[module]
            with open(path, "rb") as stream:
                text = stream.read()
            known = self._known.get(module)
            if known is None or known.read != _sha(text):
                known = parsed(text, module if path.endswith("__init__.py") else module.rpartition(".")[0])
            self._sources[module] = known
        return self._sources[module]

    def _read_kept(self) -> dict[str, Source]:
        try:
            kept = msgspec.json.decode(self._kept.read_bytes(), type=_Known)
        except (OSError, msgspec.DecodeError):
            return {}
        return kept.sources if kept.by == self._by else {}

    def _keep(self) -> None:
        """Like byte code: where it cannot be written it is parsed again by the next process."""
        if self._sources.items() <= self._known.items() or sys.dont_write_bytecode:
            return
        self._known = self._known | self._sources
        beside = self._kept.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(msgspec.json.encode(_Known(self._by, self._known)))
            beside.replace(self._kept)
        with suppress(OSError):
            beside.unlink()


def _files(folder: Path) -> dict[str, str]:
    """The file of each module of a package."""
    found = {}
    for place, _, names in os.walk(folder):
        parts = [folder.name, *Path(place).relative_to(folder).parts]
        for name in names:
            if name.endswith(".py"):
                module = parts if name == "__init__.py" else [*parts, name.removesuffix(".py")]
                found[".".join(module)] = os.path.join(place, name)
    return found


def parsed(text: bytes, package: str) -> Source:
    """A module's source as it counts; `package` is what its relative imports start from."""
    words: list[str] = []
    imports: set[tuple[str, str | None]] = set()
    _read(ast.parse(text), package, words, imports)
    return Source(_sha(text), _sha("".join(words).encode()), tuple(sorted(imports, key=str)))


def _read(node: Any, package: str, words: list[str], imports: set[tuple[str, str | None]]) -> None:
    """Takes down a part of the tree, in one pass: what it says, in words, and what it imports.

    Empty fields are left out: they are shown by some versions of Python and not by others.
    """
    if isinstance(node, list):
        words.append("[")
        for each in node:
            _read(each, package, words, imports)
        words.append("]")
    elif not isinstance(node, ast.AST):
        words.append(f"{node!r},")
    elif _only_for_type_checkers(node):
        _read(node.orelse, package, words, imports)
    elif not _bare_string(node):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.update(_imported(node, package))
        words.append(type(node).__name__)
        words.append("(")
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != []:
                words.append(name)
                _read(value, package, words, imports)
        words.append(")")


def _bare_string(node: ast.AST) -> bool:
    """A docstring, or another string that nothing is done with."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _only_for_type_checkers(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    return "TYPE_CHECKING" in (getattr(node.test, "id", ""), getattr(node.test, "attr", ""))


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> list[tuple[str, str | None]]:
    if isinstance(node, ast.Import):
        return [(alias.name, None) for alias in node.names]
    parts = package.split(".")
    above = parts[: len(parts) + 1 - node.level] if node.level else []
    origin = ".".join([*above, *([node.module] if node.module else [])])
    return [(origin, alias.name) for alias in node.names]


def _apart(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in NOT_COUNTED)


def _sha(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
