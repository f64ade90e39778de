"""Everything that Dagster loads: each folder under `defs/` is one feed."""

import gc
from pathlib import Path

import dagster as dg

# What dagster's import made is there to stay; while loading, each collection would walk it again (25 ms a time).
gc.freeze()

from aerocast_assets.loading import load  # noqa: E402


@dg.definitions
def defs() -> dg.Definitions:
    gc.freeze()
    try:
        return load(Path(__file__).parent)
    finally:
        gc.unfreeze()
