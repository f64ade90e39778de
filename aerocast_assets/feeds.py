"""The declared feeds, read without loading the code location; a mistake in one of them concerns that one alone."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from aerocast.common.declaration import Mistake, Place, not_allowed
from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed

DEFS = Path(__file__).parent / "defs"
TYPE = "aerocast_assets.component.FeedComponent"
FILES = ("defs.yaml", "defs.yml", "component.yaml")  # as Dagster looks for them
KEYS = ("type", "attributes", "template_vars_module", "requirements", "post_processing")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # which one, is known at run time
    """YAML as Dagster reads a component's: times stay texts."""


_TIME = "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIME]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


class Declaration(NamedTuple):
    """What a file under `defs/` declares: a feed, or else the mistakes in it, each with its file and line."""

    name: str
    path: Path
    feed: Feed | None = None
    mistakes: tuple[str, ...] = ()
    is_plain: bool = False  # a valid feed and nothing else in the file, such as post processing of its assets
    line: int = 1  # where it begins

    @property
    def error(self) -> AeroCastError:
        """All mistakes as one error."""
        return AeroCastError("\n".join([f"feed {self.name} is not valid:", *(f"  {each}" for each in self.mistakes)]))


def declarations(defs: Path = DEFS) -> list[Declaration]:
    """Every feed that is declared, whether it is valid or not, by name."""
    return [declaration for path in files(defs) if (declaration := read(path, defs))]


def declared(defs: Path = DEFS) -> list[str]:
    """The names of all declared feeds."""
    return [each.name for each in declarations(defs)]


def left_out(part: str, mistakes: Sequence[str]) -> str:
    """One sentence about a broken part for those who want something else."""
    rest = f" (and {len(mistakes) - 1} more: see `aerocast check`)" if len(mistakes) > 1 else ""
    return f"warning: {part} is left out, everything else works: {mistakes[0]}{rest}"


def feeds(defs: Path = DEFS) -> list[Feed]:
    """The declared feeds that are valid."""
    return [each.feed for each in declarations(defs) if each.feed]


def broken(defs: Path = DEFS) -> list[Declaration]:
    """The declared feeds that are not valid."""
    return [each for each in declarations(defs) if each.mistakes]


def find_feed(name: str, defs: Path = DEFS) -> Feed:
    """The feed declared in `defs/<name>/defs.yaml`.

    Raises:
        AeroCastError: there is none (the message lists those there are), or its declaration is not valid.
    """
    by_name = {each.name: each for each in declarations(defs)}
    if name not in by_name:
        raise AeroCastError(f"--feed: there is no feed {name!r}; declared: {', '.join(by_name) or 'none'}")
    declaration = by_name[name]
    if declaration.feed is None:
        raise declaration.error
    return declaration.feed


def read(path: Path, defs: Path | None = None) -> Declaration | None:
    """What a file declares; None if it is a component of another kind. `defs` is the folder of all feeds."""
    name = path.parent.name
    try:
        root = _parse(path)
        if (wrong := _head(root.value)) is None:
            return None
        feed = None
        if not wrong:
            checked = Feed.validate_declaration(root.value["attributes"])
            feed = checked if isinstance(checked, Feed) else None
            wrong = [Mistake(("attributes", *place), text) for place, text in ([] if feed else checked)]
        wrong += [*_place(feed, path, defs), *root.twice]
    except AeroCastError as error:
        return Declaration(name, path, mistakes=(str(error),))
    mistakes = tuple(f"{path}:{root.line(place)}: {Mistake(_field(place), text)}" for place, text in wrong)
    is_plain = not mistakes and root.value.keys() == {"type", "attributes"}
    return Declaration(name, path, None if mistakes else feed, mistakes, is_plain, root.begin)


def files(defs: Path) -> Iterator[Path]:
    """The component files below a folder as Dagster finds them; hidden folders are none of its.

    Of a folder that cannot be read it is the file that could be in it, so that nothing is taken for gone.

    Raises:
        AeroCastError: the folder itself cannot be read.
    """
    unreadable: list[Path] = []

    def note(error: OSError) -> None:
        if Path(error.filename) == defs:
            raise AeroCastError(f"{defs} cannot be read: {error.strerror or error}") from error
        unreadable.append(Path(error.filename, FILES[0]))

    for folder, below, names in os.walk(defs, onerror=note, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith(".") and name != "__pycache__")
        if file := next((name for name in FILES if name in names or name in below), None):
            yield Path(folder, file)
    yield from unreadable


class _Document(NamedTuple):
    """A parsed file: its value, and where everything in it stands."""

    value: Any
    node: Any
    twice: list[Mistake]

    @property
    def begin(self) -> int:
        """The line of its first key."""
        return self.node.start_mark.line + 1 if self.node is not None else 1

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest thing around it that is there."""
        node, line = self.node, 1
        for part in place:
            if isinstance(node, yaml.MappingNode):
                pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return int(line)


def _parse(path: Path) -> _Document:
    """Raises AeroCastError: the file cannot be read, is no UTF-8, or not one YAML document."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise AeroCastError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise AeroCastError(f"{path}:{line}: byte 0x{error.object[error.start]:02x} is not UTF-8") from None
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        value = loader.construct_document(node) if node is not None else None
        return _Document(value, node, [*_twice(node, ())])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        why = " ".join(filter(None, (getattr(error, "context", None), getattr(error, "problem", None)))) or str(error)
        line = mark.line + 1 if mark else 1
        raise AeroCastError(f"{path}:{line}: not one YAML document: {' '.join(why.split())}") from None
    finally:
        loader.dispose()


def _twice(node: Any, place: Place) -> Iterator[Mistake]:
    """Keys that a mapping has twice: YAML would take the last one without a word."""
    if isinstance(node, yaml.MappingNode):
        names = [str(key.value) for key, _ in node.value]
        yield from (Mistake((*place, name), "named twice") for name in dict.fromkeys(names) if names.count(name) > 1)
        for key, value in node.value:
            yield from _twice(value, (*place, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for at, value in enumerate(node.value):
            yield from _twice(value, (*place, at))


def _head(value: Any) -> list[Mistake] | None:
    """What is wrong around a feed's attributes; None for a component of another kind."""
    if not isinstance(value, dict):
        return [
            Mistake((), f"a feed's file holds type: {TYPE} and its attributes" + (", this one is empty" * (not value)))
        ]
    kind, unknown = value.get("type"), [str(key) for key in value if key not in KEYS]
    if kind != TYPE:
        if isinstance(kind, str) and _is_component(kind):
            return None
        text = "is missing" if kind is None else f"{kind!r} is not a component"
        return [Mistake(("type",), f"{text}; a feed's is {TYPE}")]
    wrong = [Mistake((name,), not_allowed(name, KEYS)) for name in unknown]
    if not isinstance(value.get("attributes"), dict):
        wrong.append(Mistake(("attributes",), "a feed needs its declaration here"))
    return wrong


def _is_component(kind: str) -> bool:
    """Whether Dagster can load a component of this type."""
    from importlib import import_module

    from dagster import Component

    module, _, name = kind.rpartition(".")
    if module.startswith(".") or not module:
        return kind.startswith(".")  # beside the file: Dagster's business
    try:
        component = getattr(import_module(module), name, None)
    except Exception:  # whatever a person's module raises
        return False
    return isinstance(component, type) and issubclass(component, Component)


def _place(feed: Feed | None, path: Path, defs: Path | None) -> Iterator[Mistake]:
    """Assets are looked up by the folder's name, so it is the feed's, directly below `defs`."""
    if feed and feed.name != path.parent.name:
        yield Mistake(("attributes", "name"), f"{feed.name!r} must be the folder's name, {path.parent.name!r}")
    if feed and defs and path.parent.parent != defs:
        yield Mistake(("attributes", "name"), f"the folder of a feed must lie directly in {defs}")


def _field(place: Place) -> Place:
    return place[1:] if place[:1] == ("attributes",) and len(place) > 1 else place
