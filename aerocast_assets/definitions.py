"""Everything that Dagster loads: each folder under `defs/` is one feed."""

import gc
from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    gc.freeze()  # dagster's import stays; each collection while loading would walk it again (25 ms a time)
    try:
        from aerocast_assets.loading import load

        return load(Path(__file__).parent)
    finally:
        gc.unfreeze()
