"""An Arrow stream that lies is refused, or read as it is; it ends no process and takes little memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.arrow import check_stream
from aerocast.ingest.channels.readings import definition_of
from tests import PROJECT
from tests.conftest import SEED
from tests.factories.stream_lies import ROWS, honest_streams
from tests.harness.stream_process import COUNT


def test_lying_stream_ends_no_process_and_takes_little_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.harness.stream_process", tmp_path, os.environ[SEED]]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=280)
    assert result.returncode == 0, result.stderr[-2000:]
    outcomes = json.loads(result.stdout)
    assert outcomes["refused"] + outcomes["accepted"] > COUNT
    assert outcomes["refused"] > outcomes["accepted"]
    assert outcomes["peak"] < 100


def test_honest_stream_is_accepted(feed: Feed) -> None:
    assert [check_stream(definition_of(feed), body, 100_000)[0] for body in honest_streams()] == [ROWS] * 12
