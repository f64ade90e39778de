"""Copies of the project for tests that edit it or run its commands."""

import shutil
from pathlib import Path

from tests import PROJECT

FILES = ("dagster.yaml", "workspace.yaml", "pyproject.toml")


def copy_project(folder: Path, *packages: str, files: tuple[str, ...] = FILES) -> Path:
    """Copy these packages and files of the project into `folder`, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in packages:
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in files:
        shutil.copy(PROJECT / name, folder)
    return folder
