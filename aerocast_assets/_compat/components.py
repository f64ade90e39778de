"""What of the inside of Dagster's components is used, and why; its names are importable, but documented nowhere."""

# A tree arranges such declarations, and reads one of a file or folder from such a context: to load one part of `defs/`
# alone, and to take feeds that were read already (`tree`).
from dagster.components.core.context import ComponentDeclLoadContext as ComponentDeclLoadContext
from dagster.components.core.decl import ComponentDecl as ComponentDecl
from dagster.components.core.decl import DefsFolderDecl as DefsFolderDecl
from dagster.components.core.decl import YamlDecl as YamlDecl
from dagster.components.core.decl import YamlFileDecl as YamlFileDecl
from dagster.components.core.decl import (
    build_filesystem_component_decl_from_context as build_filesystem_component_decl_from_context,
)

# Which files of a folder a tree leaves out.
from dagster.components.core.defs_module import EXPLICITLY_IGNORED_GLOB_PATTERNS as EXPLICITLY_IGNORED_GLOB_PATTERNS

# The file of one component, and its place in the tree.
from dagster.components.core.defs_module import ComponentFileModel as ComponentFileModel
from dagster.components.core.defs_module import ComponentPath as ComponentPath
from dagster.components.core.defs_module import CompositeYamlComponent as CompositeYamlComponent
