"""Everything that Dagster loads: each folder under `defs/` is one feed."""

import gc
from pathlib import Path

import dagster as dg

# What dagster's import made lives as long as the process; each later collection would walk it again (25 ms a time).
gc.freeze()


@dg.definitions
def defs() -> dg.Definitions:
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
