"""Packages with entry points in a folder on the path, as pip would install them."""

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
Points = Mapping[str, Mapping[str, str]]  # entry points: group -> name -> value


def install(folder: Path, package: str, group: str, kind: str, source: str, value: str = "Kind") -> Path:
    """Install a package of one module with one entry point, and return the path of the module."""
    module = folder / f"{package}.py"
    module.write_text(source)
    _describe(folder, package, {group: {kind: f"{package}:{value}"}})
    return module


def install_example(folder: Path, package: str, more: Points | None = None) -> None:
    """Install a package of `examples/` with its own entry points and `more`."""
    example = EXAMPLES / package
    shutil.copytree(
        example, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.toml", "__pycache__", "*info")
    )
    points: Points = tomllib.loads((example / "pyproject.toml").read_text())["project"]["entry-points"]
    _describe(folder, package, {group: {**names, **(more or {}).get(group, {})} for group, names in points.items()})


def _describe(folder: Path, package: str, points: Points) -> None:
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [
        line for group, names in points.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in names.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
