"""Everything under `defs/`; of what is broken the part is left out and named, and all others load."""

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import dagster as dg

from aerocast_assets.feeds import FILES, Declaration, left_out
from aerocast_assets.keys import HOURLY
from aerocast_assets.labels import of_layer
from aerocast_assets.tree import PartTree, WholeTree, tree_of

log = logging.getLogger("aerocast")

SHARED = "platform"  # what all feeds need: without it nothing loads


def load(project: Path) -> dg.Definitions:
    """The definitions of the project; a broken part is an asset `<part>/declaration` whose check fails with the reason.

    Raises:
        Exception: what all parts share does not load.
    """
    tree = tree_of(project, WholeTree)
    feeds = tree.declarations
    wrong = [each for each in feeds if each.mistakes]
    if not wrong:
        # The jobs of valid feeds resolve: Dagster does it where it needs them. Only other parts are tried out.
        sound = {f"{SHARED}.py", *(each.name for each in feeds if each.is_plain)}
        strangers = any(path.name not in sound for path in _parts(tree.defs_module_path))
        try:
            return _known_to_load(_with_tree(tree, tree.build_defs(tree.defs_module_path)), jobs=strangers)
        except (Exception, SystemExit):  # whatever a person's file raises; looked for part by part
            pass
    return _isolated(project, tree, wrong)


def _with_tree(tree: dg.ComponentTree, *parts: dg.Definitions) -> dg.Definitions:
    """All parts, and the tree for the UI.

    As Dagster's root of a tree, but without pages of the component types that Dagster brings: to describe them takes
    a fifth of an `import dagster`, and a feed needs none.
    """
    return dg.Definitions.merge(dg.Definitions(component_tree=tree), *parts)


def _isolated(project: Path, tree: dg.ComponentTree, wrong: Sequence[Declaration]) -> dg.Definitions:
    reasons: dict[str, str] = {}
    for each in wrong:
        part = each.path.relative_to(tree.defs_module_path).parts[0]
        reasons[part] = "\n".join(filter(None, (reasons.get(part), *each.mistakes)))
    loaded: dict[str, dg.Definitions] = {}
    for path in _parts(tree.defs_module_path):
        if path.name in reasons:
            continue
        try:
            loaded[path.name] = _built(project, path)
        except (Exception, SystemExit) as error:
            if path.stem == SHARED:
                raise
            reasons[path.name] = _why(path, error)
    definitions = _together(tree, loaded, reasons)
    for part, why in reasons.items():
        log.warning(left_out(part, why.splitlines()))
    return definitions


def _together(tree: dg.ComponentTree, loaded: Mapping[str, dg.Definitions], reasons: dict[str, str]) -> dg.Definitions:
    """All parts that go together: the first of two that claim one name stays."""

    def merged(parts: Mapping[str, dg.Definitions]) -> dg.Definitions:
        notes = (_note(tree.defs_module_path / name, why) for name, why in reasons.items())
        return _with_tree(tree, *parts.values(), *notes)

    try:
        return _known_to_load(merged(loaded))
    except Exception:
        sound = {name: defs for name, defs in loaded.items() if Path(name).stem == SHARED}
    for name, defs in loaded.items():
        try:
            _known_to_load(merged({**sound, name: defs}))
            sound[name] = defs
        except Exception as error:
            reasons[name] = _why(tree.defs_module_path / name, error)
    return _known_to_load(merged(sound))


def _parts(defs: Path) -> Iterator[Path]:
    """What Dagster loads below `defs/`, each on its own."""
    for path in sorted(defs.iterdir()):
        hidden = path.name.startswith((".", "__"))
        if not hidden and (path.suffix == ".py" or any(name.endswith((".py", *FILES)) for name in _names(path))):
            yield path


def _names(folder: Path) -> Iterator[str]:
    for _, _, names in os.walk(folder, followlinks=True):
        yield from names


def _built(project: Path, path: Path) -> dg.Definitions:
    return tree_of(project, PartTree).of(path).build_defs(path)


def _known_to_load(defs: dg.Definitions, *, jobs: bool = True) -> dg.Definitions:
    """The definitions, known to load as a code location does, all `jobs` too; Dagster keeps what was resolved here."""
    repository = defs.get_repository_def()
    if jobs:
        repository.load_all_definitions()
    return defs


def _why(path: Path, error: BaseException) -> str:
    """The innermost reason, as one sentence."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    return f"{path}: {type(error).__name__}{f': {text}' if text else ''}"


def _note(part: Path, why: str) -> dg.Definitions:
    """What the UI shows of a broken part."""
    name = re.sub(r"\W", "_", part.name.removesuffix(".py"))
    key = dg.AssetKey([name, "declaration"])

    @dg.asset_check(
        asset=key, name="valid", description="The declaration is right; if not, why.", automation_condition=HOURLY
    )
    def check() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.ERROR, description=why)

    files = [path for path in (part / each for each in FILES) if path.exists()] or [part]
    links = [dg.LocalFileCodeReference(file_path=str(path)) for path in files]
    metadata = {"mistakes": why, "dagster/code_references": dg.CodeReferencesMetadataValue(code_references=links)}
    text = f"{part.name} is left out; everything else works.\n\n" + "\n".join(f"- {line}" for line in why.splitlines())
    spec = dg.AssetSpec(key, group_name=name, kinds={"yaml"}, description=text, metadata=metadata)
    return dg.Definitions(assets=[of_layer(spec)], asset_checks=[check])
