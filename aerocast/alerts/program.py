"""Hands alerts to a program of the operator's."""

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath
from typing import ClassVar

import msgspec

from aerocast.alerts.alert import Alert
from aerocast.alerts.channel import TIMEOUT
from aerocast.common.errors import AeroCastError
from aerocast.common.words import duration, printable

SECRETS = ("AEROCAST_TOKEN", "AEROCAST_RELEASE_KEY", "AEROCAST_ALERT_SECRET", "AEROCAST_ALERT_SMTP_PASSWORD")


@dataclass(frozen=True, slots=True)
class Program:
    """Runs `words` without a shell; the alert is JSON on the input, and nothing of it is an argument."""

    words: tuple[str, ...]
    timeout: float = TIMEOUT
    name: ClassVar[str] = "command"

    def send(self, alert: Alert) -> None:
        """It ended with status 0 in time; else it is killed, with what it started. Raises AeroCastError."""
        program = PurePath(self.words[0]).name
        variables = {name: value for name, value in os.environ.items() if name not in SECRETS}
        try:
            child = subprocess.Popen(
                self.words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=variables,
                start_new_session=True,
            )
        except OSError as error:
            raise AeroCastError(f"{program} cannot be run: {error.strerror or error}") from None
        try:
            _, complaint = child.communicate(msgspec.json.encode(alert), self.timeout)
        except subprocess.TimeoutExpired:
            _kill(child)
            raise AeroCastError(f"{program} did not end within {duration(timedelta(seconds=self.timeout))}") from None
        if child.returncode:
            lines = complaint.decode(errors="replace").strip().splitlines()
            last = f": {printable(lines[-1], 200)}" if lines else ""
            raise AeroCastError(f"{program} ended with status {child.returncode}{last}")


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.stderr:
        child.stderr.close()
    child.wait()
