"""A run log for people: one line a step, with its time, and what the steps themselves say."""

import logging
import sys
import time

import dagster as dg


class _Lines(logging.Handler):
    """Prints messages of assets as they come, and each step's end with its seconds."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._started: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        event, step = meta.get("dagster_event"), meta.get("step_key") or ""
        if event is None:
            text = str(meta.get("orig_message", record.getMessage()))
            # One failure says enough; that all steps below it do not run is no news.
            if record.levelno >= logging.INFO and not text.startswith("Dependencies for step"):
                self._print(f"    {text}")
        elif event.event_type_value == "STEP_START":
            self._started[step] = time.monotonic()
            self._print(f"  {step.replace('__', '/')} ...")
        elif event.event_type_value in ("STEP_SUCCESS", "STEP_FAILURE"):
            seconds = time.monotonic() - self._started.get(step, time.monotonic())
            verdict = "done" if event.event_type_value == "STEP_SUCCESS" else "FAILED"
            self._print(f"  {step.replace('__', '/')} {verdict} in {seconds:.1f} s")

    def _print(self, line: str) -> None:
        print(line, file=sys.stdout, flush=True)


@dg.logger
def progress_logger(context: dg.InitLoggerContext) -> logging.Logger:
    """The `progress` logger: chosen by a run's config, `loggers: {progress: {}}`."""
    logger = logging.Logger("aerocast.progress", logging.DEBUG)
    logger.addHandler(_Lines())
    return logger
