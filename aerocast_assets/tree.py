"""The components under `defs/` as Dagster arranges them; feeds that `feeds` has read and checked are not read again.

Dagster's reader of YAML notes the position of everything: for six feeds that takes a twelfth of `import dagster`.
"""

from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast_assets._compat.components import (
    EXPLICITLY_IGNORED_GLOB_PATTERNS,
    ComponentDecl,
    ComponentDeclLoadContext,
    ComponentFileModel,
    ComponentPath,
    CompositeYamlComponent,
    DefsFolderDecl,
    YamlDecl,
    YamlFileDecl,
    build_filesystem_component_decl_from_context,
)
from aerocast_assets.component import FeedComponent
from aerocast_assets.feeds import TYPE, Declaration, declarations

Tree = TypeVar("Tree", bound=dg.ComponentTree)


def tree_of(project: Path, kind: type[Tree]) -> Tree:
    """The components of the package `<project>.defs`; `pyproject.toml`, which `dg` reads, names the same one."""
    return kind(defs_module=import_module(f"{project.name}.defs"), project_root=project.parent)


def feeds_below(tree: dg.ComponentTree) -> list[Feed]:
    """The valid feeds of a tree, read once where it is a whole one."""
    every = tree.declarations if isinstance(tree, WholeTree) else declarations(tree.defs_module_path)
    return [each.feed for each in every if each.feed]


class PartTree(dg.ComponentTree):
    """The tree of one folder or file below `defs/`."""

    part: Path

    def of(self, part: Path) -> Self:
        object.__setattr__(self, "part", part)  # a record is frozen
        return self

    def _get_filesystem_decl(self) -> ComponentDecl[Any]:
        context = self.decl_load_context.for_component_loc(ComponentPath.from_path(self.part))
        decl = build_filesystem_component_decl_from_context(context)
        if decl is None:
            raise dg.DagsterInvalidDefinitionError(f"{self.part} holds no definitions")
        return decl


class WholeTree(dg.ComponentTree):
    """The tree of all of `defs/`; a file that declares a feed and nothing else is read once."""

    @cached_property
    def declarations(self) -> list[Declaration]:
        """Every feed that is declared, by name."""
        return declarations(self.defs_module_path)

    def _get_filesystem_decl(self) -> ComponentDecl[Any]:
        loc = ComponentPath.from_path(self.defs_module_path)
        if self.state_tracker.get_cache_data(loc).component_decl is None:
            self.state_tracker.set_cache_data(loc, component_decl=self._folder(loc))
        return super()._get_filesystem_decl()

    def _folder(self, loc: ComponentPath) -> DefsFolderDecl:
        context = self.decl_load_context.for_component_loc(loc)
        plain = {each.path.parent: each for each in self.declarations if each.is_plain}
        children: dict[Path, ComponentDecl[Any]] = {}
        for path in sorted(context.path.iterdir()):
            if not any(path.relative_to(context.path).match(pattern) for pattern in EXPLICITLY_IGNORED_GLOB_PATTERNS):
                own = context.for_component_loc(ComponentPath.from_path(path))
                decl = _file(own, plain[path]) if path in plain else build_filesystem_component_decl_from_context(own)
                children |= {path: decl} if decl else {}
        return DefsFolderDecl(context=context, loc=loc, children=children, source_tree=None, component_file_model=None)


class _FeedDecl(YamlDecl):
    """A feed as it was read and checked."""

    declaration: Declaration

    def _load_component(self) -> FeedComponent:
        assert self.declaration.feed  # a plain one has it
        place = dg.LocalFileCodeReference(file_path=str(self.declaration.path), line_number=self.declaration.line)
        return FeedComponent(self.declaration.feed, place)


class _FeedFile(CompositeYamlComponent):
    """The file of such a feed, whose assets and checks name it already; what starts them has yet to."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        ((component,), (decl,)) = self.components, context.component_decl.iterate_child_component_decls()
        return cast("FeedComponent", component).with_origin(context.build_defs(decl.loc))


class _FileDecl(YamlFileDecl):
    def _load_component(self) -> CompositeYamlComponent:
        components = [self.context.load_structural_component_at_loc(decl.loc) for decl in self.decls]
        return _FeedFile(components, source_positions=[], asset_post_processor_lists=[[]])


def _file(context: ComponentDeclLoadContext, declaration: Declaration) -> YamlFileDecl:
    """What Dagster makes of a file with one document, but for the positions of what is in it."""
    place = ComponentPath.from_path(context.path, 0)
    model = ComponentFileModel(type=TYPE)
    decl = _FeedDecl(context=context.for_component_loc(place), loc=place, source_tree=None, component_file_model=model)
    object.__setattr__(decl, "declaration", declaration)  # a record is frozen
    loc = ComponentPath.from_path(context.path)
    return _FileDecl(context=context, loc=loc, decls=[decl], source_positions=[])
