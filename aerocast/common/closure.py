"""A short version of the code behind a result: of the build modules and of all that they import, directly or not.

Sources are parsed, never imported. Of each module its syntax tree counts: comments, docstrings, formatting and what
only a type checker reads do not. An import counts wherever it stands, at the top or in a function; a package counts
where a name is imported from its own `__init__`. An import by a computed name is not seen: the caller names the module.
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

# Modules that are left out, imports included, because no result depends on them: an edit there makes no month stale.
NOT_COUNTED = frozenset(
    f"aerocast.{name}"
    for name in (
        # where bytes are stored, and how they get there and back intact
        *("storage", "releases.storage", "lake"),
        # fingerprints of versions and contents, the present, the wording of errors
        *("common.closure", "common.lineage", "tables.staleness", "tables.layers", "contracts.clock", "common.errors"),
        # the declaration: a layer hashes the values that it uses, so other fields do not matter to it
        *(
            "feed.declaration",
            "feed.policies",
            "feed.consistency",
            "feed.field_types",
            "common.declaration",
            "common.registry",
        ),
    )
)
_NOT_COUNTED = tuple(f"{name}." for name in NOT_COUNTED)


class Source(msgspec.Struct, frozen=True):
    """A parsed module: the SHA-256 of its text and of its meaning, and its imports as (module, name)."""

    text: str
    meaning: str
    imports: tuple[tuple[str, str | None], ...]


class _Cache(msgspec.Struct):
    """Sources by module; `reader` is the SHA-256 of the code that parsed them, this file."""

    reader: str
    sources: dict[str, Source]


class Package:
    """The sources of one package, such as `.../aerocast`, and of others that build on it: folders, or single modules.

    Parsed sources are cached beside the byte code of the first: parsing all modules takes half as long as
    `import dagster`. A cached one is valid only for the same text.
    """

    def __init__(self, folder: Path, *others: Path) -> None:
        self._folder = folder
        self._reader = _sha(Path(__file__).read_bytes())
        self._cache_file = Path(cache_from_source(str(folder / "closure.py"))).with_suffix(".json")
        self._cache = self._load()
        self._files = {name: path for each in (folder, *others) for name, path in _files(each).items()}
        self._sources: dict[str, Source] = {}
        self._imports: dict[str, list[str]] = {}

    def version(self, *starts: str) -> str:
        """Twelve hex digits of these modules and all that they import.

        Raises:
            ValueError: a module is not in the package.
        """
        digest = hashlib.sha256()
        for module in self.closure(*starts):
            digest.update(f"{module} {self._source(module).meaning}\n".encode())
        self._save()
        return digest.hexdigest()[:12]

    def closure(self, *starts: str) -> list[str]:
        """These modules and all that they import, directly or not, sorted; without those of `NOT_COUNTED`."""
        modules, queue = set[str](), list(starts)
        while queue:
            module = queue.pop()
            if module not in modules:
                modules.add(module)
                queue += self._imported(module)
        return sorted(modules)

    def _imported(self, module: str) -> list[str]:
        """What a module imports of these packages; `from a import b` means `a.b` where that is a module."""
        if module not in self._imports:
            pairs = ((origin, f"{origin}.{name}") for origin, name in self._source(module).imports)
            targets = {inner if inner in self._files else origin for origin, inner in pairs}
            self._imports[module] = [each for each in targets & self._files.keys() if _counts(each)]
        return self._imports[module]

    def _source(self, module: str) -> Source:
        if module not in self._sources:
            if module not in self._files:
                raise ValueError(f"{module} is not a module of {self._folder}")
            with open(self._files[module], "rb") as file:
                text, source = file.read(), self._cache.get(module)
            if source is None or source.text != _sha(text):
                is_package = self._files[module].endswith("__init__.py")
                source = parse_source(text, module if is_package else module.rpartition(".")[0])
            self._sources[module] = source
        return self._sources[module]

    def _load(self) -> dict[str, Source]:
        try:
            cache = msgspec.json.decode(self._cache_file.read_bytes(), type=_Cache)
        except (OSError, msgspec.DecodeError):
            return {}
        return cache.sources if cache.reader == self._reader else {}

    def _save(self) -> None:
        """Writes the cache; like byte code, what cannot be written is parsed again by the next process."""
        if self._sources.items() <= self._cache.items() or sys.dont_write_bytecode:
            return
        self._cache = self._cache | self._sources
        temporary = self._cache_file.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            self._cache_file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(msgspec.json.encode(_Cache(self._reader, self._cache)))
            temporary.replace(self._cache_file)
        with suppress(OSError):
            temporary.unlink()


def _files(folder: Path) -> dict[str, str]:
    """The file of each module of a package, or of a single module."""
    files = {} if folder.is_dir() else {folder.stem: str(folder)}
    for parent, _, names in os.walk(folder):
        parts = [folder.name, *filter(None, parent.removeprefix(str(folder)).split(os.sep))]
        for name in names:
            if name.endswith(".py"):
                module = parts if name == "__init__.py" else [*parts, name.removesuffix(".py")]
                files[".".join(module)] = os.path.join(parent, name)
    return files


def parse_source(text: bytes, package: str) -> Source:
    """Parses a module; `package` is what its relative imports start from."""
    words: list[str] = []
    imports: set[tuple[str, str | None]] = set()
    _describe(ast.parse(text), package, words, imports)
    return Source(_sha(text), _sha("".join(words).encode()), tuple(sorted(imports, key=str)))


def _describe(node: Any, package: str, words: list[str], imports: set[tuple[str, str | None]]) -> None:
    """Appends the words of a part of the tree, and its imports, in one pass.

    Empty fields are left out: some versions of Python have them, others do not.
    """
    if isinstance(node, list):
        words.append("[")
        for each in node:
            _describe(each, package, words, imports)
        words.append("]")
    elif not isinstance(node, ast.AST):
        words.append(f"{node!r},")
    elif _is_for_type_checkers(node):
        _describe(node.orelse, package, words, imports)
    elif not _is_bare_string(node):
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


def _is_bare_string(node: ast.AST) -> bool:
    """Whether this is a docstring, or another string without an effect."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_for_type_checkers(node: ast.AST) -> TypeGuard[ast.If]:
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


def _counts(module: str) -> bool:
    return not f"{module}.".startswith(_NOT_COUNTED)


def _sha(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
