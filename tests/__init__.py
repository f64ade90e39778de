"""The tests mirror the rooms of the code; here is where the project and the data of the tests lie."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
DATA = PROJECT / "tests" / "data"
# Recordings of whole years, which are not part of the project: tests that want them are skipped without them.
SHARED = Path(os.environ.get("AEROCAST_TEST_DATA", PROJECT.parent / "shared" / "data"))
