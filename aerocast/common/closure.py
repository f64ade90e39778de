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
from typing import Any, TypeGuard

import msgspec

# What neither counts nor is followed, for no result depends on how it works: an edit here must not make months stale.
NOT_COUNTED = frozenset(
    f"aerocast.{name}"
    for name in (
        # where bytes lie and how they get there and back whole
        *("storage", "releases.shelves", "lake"),
        # how versions and contents are told apart, what time it is, how a refusal is worded
        *("common.closure", "common.lineage", "tables.layer", "tables.layers", "contracts.clock", "common.errors"),
        # the declaration: a layer hashes the values that it uses, so what else can be declared is nothing to it
        *("feed.model", "feed.policies", "feed.rules", "feed.schema", "common.declaration", "common.registry"),
    )
)


class Source(msgspec.Struct, frozen=True):
    """A module as it counts: the SHA-256 of its text and of its meaning, and its imports as (module, name)."""

    text: str
    meaning: str
    imports: tuple[tuple[str, str | None], ...]


class _Cache(msgspec.Struct):
    """Sources by module; `reader` is the SHA-256 of the code that parsed them, this file."""

    reader: str
    sources: dict[str, Source]


class Package:
    """The sources of one package, such as `.../aerocast`, and of others that build on it: folders, or single modules.

    Parsed sources are cached beside the byte code of the first.

    Parsing all modules takes half as long as `import dagster`; a cached one counts only for the same text.
    """

    def __init__(self, folder: Path, *others: Path) -> None:
        self._folder = folder
        self._reader = _sha(Path(__file__).read_bytes())
        self._cache = Path(cache_from_source(str(folder / "closure.py"))).with_suffix(".json")
        self._cached = self._load()
        self._files = {name: path for each in (folder, *others) for name, path in _files(each).items()}
        self._sources: dict[str, Source] = {}
        self._imports: dict[str, list[str]] = {}

    def version(self, *starts: str) -> str:
        """Twelve hex digits of all that these modules reach, themselves included.

        Raises:
            ValueError: a module is not in the package.
        """
        digest = hashlib.sha256()
        for module in self.closure(*starts):
            digest.update(f"{module} {self._source(module).meaning}\n".encode())
        self._save()
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
            cached = self._cached.get(module)
            if cached is None or cached.text != _sha(text):
                cached = parse(text, module if path.endswith("__init__.py") else module.rpartition(".")[0])
            self._sources[module] = cached
        return self._sources[module]

    def _load(self) -> dict[str, Source]:
        try:
            cache = msgspec.json.decode(self._cache.read_bytes(), type=_Cache)
        except (OSError, msgspec.DecodeError):
            return {}
        return cache.sources if cache.reader == self._reader else {}

    def _save(self) -> None:
        """Like byte code: where it cannot be written it is parsed again by the next process."""
        if self._sources.items() <= self._cached.items() or sys.dont_write_bytecode:
            return
        self._cached = self._cached | self._sources
        beside = self._cache.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(msgspec.json.encode(_Cache(self._reader, self._cached)))
            beside.replace(self._cache)
        with suppress(OSError):
            beside.unlink()


def _files(folder: Path) -> dict[str, str]:
    """The file of each module of a package, or of a module that is no package."""
    found = {} if folder.is_dir() else {folder.stem: str(folder)}
    for place, _, names in os.walk(folder):
        parts = [folder.name, *Path(place).relative_to(folder).parts]
        for name in names:
            if name.endswith(".py"):
                module = parts if name == "__init__.py" else [*parts, name.removesuffix(".py")]
                found[".".join(module)] = os.path.join(place, name)
    return found


def parse(text: bytes, package: str) -> Source:
    """A module's source as it counts; `package` is what its relative imports start from."""
    words: list[str] = []
    imports: set[tuple[str, str | None]] = set()
    _describe(ast.parse(text), package, words, imports)
    return Source(_sha(text), _sha("".join(words).encode()), tuple(sorted(imports, key=str)))


def _describe(node: Any, package: str, words: list[str], imports: set[tuple[str, str | None]]) -> None:
    """Takes down a part of the tree, in one pass: what it says, in words, and what it imports.

    Empty fields are left out: they are shown by some versions of Python and not by others.
    """
    if isinstance(node, list):
        words.append("[")
        for each in node:
            _describe(each, package, words, imports)
        words.append("]")
    elif not isinstance(node, ast.AST):
        words.append(f"{node!r},")
    elif _only_for_type_checkers(node):
        _describe(node.orelse, package, words, imports)
    elif not _bare_string(node):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.update(_imported(node, package))
        words.append(type(node).__name__)
        words.append("(")
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != []:
                words.append(name)
                _describe(value, package, words, imports)
        words.append(")")


def _bare_string(node: ast.AST) -> bool:
    """A docstring, or another string that nothing is done with."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _only_for_type_checkers(node: ast.AST) -> TypeGuard[ast.If]:
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
