"""Installing a package of one module, with one entry point, into a folder on the path."""

from pathlib import Path


def install(folder: Path, package: str, group: str, kind: str, source: str, value: str = "Kind") -> Path:
    """The package's module."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{kind} = {package}:{value}\n")
    module = folder / f"{package}.py"
    module.write_text(source)
    return module
