"""Everything that Dagster loads: each folder under `defs/` is one feed."""

import gc
from pathlib import Path

import dagster as dg

from aerocast_assets.loading import load


@dg.definitions
def defs() -> dg.Definitions:
    gc.freeze()  # what is imported stays; each collection while loading would walk it again (25 ms a time)
    try:
        return load(Path(__file__).parent)
    finally:
        gc.unfreeze()
