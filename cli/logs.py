"""Logs of children: a bounded file each, of which people see warnings and errors alone, one line each."""

import re
import shutil
import time
from pathlib import Path
from typing import IO

MOST = 8 << 20  # bytes; a longer file becomes `<name>.1`, in place of the one before
QUIET = 3600.0  # seconds until the same message is shown again
WIDTH = 240
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_DAGSTER = re.compile(r"\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d) [+-]\d{4} - ([\w.]+) - (WARNING|ERROR|CRITICAL) - (.*)")
_SERVER = re.compile(r"\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d)\S* ()(WARNING|ERROR|CRITICAL) (.*)")
_CHECK = re.compile(r"(\d\d:\d\d:\d\d) .* ASSET_CHECK_EVALUATION - Asset check '(\S+)' on '(\S+)' did not pass\.(.*)")
# A failed run is told as a whole, with its reason; the other is Dagster's, at the first start of a home.
_KNOWN = re.compile(r" (STEP_FAILURE|RUN_FAILURE|PIPELINE_FAILURE) - |No cursor for event type|Dependencies for step")


def notice(line: str) -> str:
    """What a person should know of a line of a log; empty for what is no warning."""
    plain = _COLOURS.sub("", line).strip()
    if failed := _CHECK.search(plain):
        at, name, asset, reason = failed.groups()
        return f"{at} check {name} of {asset}: {reason.strip().removeprefix('Description: ')}"[:WIDTH]
    match = _DAGSTER.match(plain) or _SERVER.match(plain)
    if match is None or _KNOWN.search(plain):
        return ""
    at, source, level, text = match.groups()
    return " ".join(filter(None, [at, level.lower(), source and f"{source}:", text]))[:WIDTH]


class ChildLog:
    """A file that children write, and what is new in it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file: IO[bytes] = path.open("ab")  # appends: the file may be cut while a child writes
        self._read = self.file.tell()
        self._rest = b""
        self._shown_at: dict[str, float] = {}

    def notices(self) -> list[str]:
        """Of the lines since the last call, each message at most once an hour; cuts a file that is too long."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        news = [text for line in lines if (text := notice(line.decode(errors="replace"))) and self._is_news(text)]
        if self._read > MOST:
            shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.1"))
            self.file.truncate(0)
            self._read = 0
        return news

    def last(self) -> str:
        """The last line."""
        lines = self.path.read_bytes()[-4096:].decode(errors="replace").strip().splitlines()
        return _COLOURS.sub("", lines[-1]) if lines else ""

    def _is_news(self, text: str) -> bool:
        now, message = time.monotonic(), re.sub(r"\d+", "#", text)
        self._shown_at = {line: at for line, at in self._shown_at.items() if now - at < QUIET}
        return self._shown_at.setdefault(message, now) == now
