"""Keeps what libraries write to standard error out of people's sight, and in a file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST = 1 << 20  # bytes; a longer file is begun again


@contextmanager
def stderr_to(path: Path) -> Iterator[None]:
    """Whatever is written to standard error, by this process or its libraries in C, is appended to `path`.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    longer = path.exists() and path.stat().st_size > MOST
    with path.open("wb" if longer else "ab") as file:
        sys.stderr.flush()
        terminal = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
