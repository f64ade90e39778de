"""Reads Parquet files of readings through a process of its own, so that no file can fill or end this one.

That process (`aerocast.ingest.channels.parquet_worker`) starts with the first file, is used for the next ones, and is
started again after a file that ended it.
"""

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

import msgspec
import pyarrow as pa

from aerocast.common.errors import AeroCastError
from aerocast.ingest.channels import arrow, parquet_worker
from aerocast.ingest.channels.definition import Definition
from aerocast.ingest.channels.parquet_worker import (
    BOUNDS,
    EXHAUSTED,
    Answer,
    End,
    Fault,
    Head,
    Malformed,
    Part,
    Request,
)
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.deliveries.columns import Columns

# How a process ends that a file has ended; any other end says nothing about the file.
_SIGNALS = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGXCPU)
_FAULTS = {EXHAUSTED, *(-number for number in _SIGNALS)}
# One thread, one arena, and the allocator that the limit of memory is meant for.
_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
COMMAND = (sys.executable, "-m", parquet_worker.__name__)
_DECODER = msgspec.json.Decoder(Answer)
_Worker = subprocess.Popen[bytes]
_idle: list[_Worker] = []  # at most one, and of this process
os.register_at_fork(after_in_child=_idle.clear)


def read_columns(path: Path, definition: Definition) -> tuple[Columns, list[str]]:
    """What the file's columns are, and the names of all of them, dotted inside of structs.

    Raises:
        ReadingError: one is missing, or of a type that holds no such thing; or the file is refused as by `read_tables`.
        pa.ArrowException, OSError, AeroCastError: as `read_tables`.
    """
    names, schema = list[str](), pa.schema([])
    for answer in _ask(path, Request(os.fsencode(path), definition.names)):
        if isinstance(answer, Head):
            names = answer.names
        else:
            schema = answer.schema
    rest = iter(schema)
    declared = {*schema.names}
    whole = pa.schema([next(rest) if name in declared else pa.field(name, pa.null()) for name in names])
    return definition.check_columns(arrow.table_columns(definition, whole)), names


def read_tables(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of the columns in their order, a bounded number at a time, texts plain and in UTF-8.

    Raises:
        ReadingError: it unpacks to too much, holds long texts or another number of rows than it says, or ends the
            process that reads it.
        pa.ArrowException: it is damaged.
        OSError: the disk does not give it.
        AeroCastError: the process that reads it was ended from outside.
    """
    for answer in _ask(path, Request(os.fsencode(path), columns, columns)):
        if isinstance(answer, pa.Table):
            yield answer


def _ask(path: Path, request: Request) -> Iterator[Head | pa.Table]:
    with _worker() as worker:
        requests, answers = cast(IO[bytes], worker.stdin), cast(IO[bytes], worker.stdout)
        try:
            requests.write(msgspec.json.encode(request) + b"\n")
            requests.flush()
            while not isinstance(answer := _next(answers), End):
                yield answer
        except (BrokenPipeError, EOFError):
            raise _end_of(worker, path) from None


@contextmanager
def _worker() -> Iterator[_Worker]:
    """A process that waits for a request; one that was left in the middle of an answer is of no more use."""
    worker = _idle.pop() if _idle else _start()
    if worker.poll() is not None:
        worker = _start()
    is_waiting = False
    try:
        yield worker
        is_waiting = True
    except (ReadingError, pa.ArrowException, OSError):
        is_waiting = True
        raise
    finally:
        if is_waiting and worker.poll() is None and not _idle:
            _idle.append(worker)
        else:
            _stop(worker)


def _start() -> _Worker:
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C is for this process, and says nothing about a file
    )


def _stop(worker: _Worker) -> None:
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        assert pipe is not None
        with suppress(BrokenPipeError):  # of a request that it did not take
            pipe.close()


@atexit.register
def stop_idle() -> None:
    """Ends the process that waits for the next file."""
    while _idle:
        _stop(_idle.pop())


def _end_of(worker: _Worker, path: Path) -> AeroCastError:
    """Why a process has ended."""
    status = worker.wait()
    if status in _FAULTS:
        return ReadingError("file", f"{path.stat().st_size} bytes", BOUNDS)
    return AeroCastError(f"the process that reads Parquet files ended with status {status}")


def _next(answers: IO[bytes]) -> Head | pa.Table | End:
    """The next answer. Raises EOFError where the process has ended, else what the answer says."""
    line = answers.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    answer = _DECODER.decode(line)
    match answer:
        case Part(size):
            data = answers.read(size)
            if len(data) < size:
                raise EOFError
            with pa.ipc.open_stream(data) as stream:
                return stream.read_all()
        case Head() | End():
            return answer
        case Fault(field, value, rule):
            raise ReadingError(field, value, rule)
        case Malformed(reason):
            raise pa.ArrowInvalid(reason)
        case _:
            raise OSError(answer.number, answer.reason)
