"""Everything that Dagster loads: each folder under `defs/` is one feed."""

import gc
from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    gc.disable()  # all that is loaded stays, so that collections only cost time
    try:
        from aerocast_assets.loading import load

        return load(Path(__file__).parent)
    finally:
        gc.enable()
