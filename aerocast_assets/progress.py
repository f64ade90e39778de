"""A run log for people: one line a step, with its time, and what the steps and checks themselves say."""

import logging
import time

import dagster as dg
from dagster import AssetCheckEvaluation


def verdict(checks: list[AssetCheckEvaluation]) -> str:
    """`passed`, `WARNED` or `FAILED`: the worst of some checks."""
    severities = {check.severity for check in checks if not check.passed}
    return "FAILED" if dg.AssetCheckSeverity.ERROR in severities else "WARNED" if severities else "passed"


class _Lines(logging.Handler):
    """A step's line is begun when the step begins. `verbose` also shows what is for developers, as it comes."""

    def __init__(self, verbose: bool) -> None:
        super().__init__(logging.DEBUG)
        self._verbose = verbose
        self._started: dict[str, float] = {}
        self._checks: list[AssetCheckEvaluation] = []
        self._messages: list[str] = []
        self._unfinished = False

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        event, step = meta.get("dagster_event"), meta.get("step_key") or ""
        if event is None:
            self._message(record.levelno, str(meta.get("orig_message", record.getMessage())))
        elif event.event_type_value == "STEP_START":
            self._begin(step)
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            self._checks.append(event.asset_check_evaluation_data)
        elif event.event_type_value in ("STEP_SUCCESS", "STEP_FAILURE"):
            self._end(step, failed=event.event_type_value == "STEP_FAILURE")

    def _message(self, level: int, text: str) -> None:
        # One failure says enough; that all steps below it do not run is no news.
        if text.startswith("Dependencies for step") or level < (logging.DEBUG if self._verbose else logging.INFO):
            return
        if self._verbose or level >= logging.WARNING:
            self._print(f"    {text}")
        else:
            self._messages.append(text)

    def _begin(self, step: str) -> None:
        self._started[step], self._checks, self._messages = time.monotonic(), [], []
        self._print(f"  {_name(step)} ...", end="\n" if self._verbose else "")
        self._unfinished = not self._verbose

    def _end(self, step: str, *, failed: bool) -> None:
        seconds = time.monotonic() - self._started.get(step, time.monotonic())
        word = verdict(self._checks) if self._checks else "FAILED" if failed else "done"
        begun, self._unfinished = self._unfinished, False
        self._print(f"{'' if begun else f'  {_name(step)}'} {word} in {seconds:.1f} s")
        for text in self._messages:
            self._print(f"    {text}")
        for check in self._checks:
            if not check.passed:
                self._print(f"    {check.check_name}: {check.description}")

    def _print(self, text: str, end: str = "\n") -> None:
        if self._unfinished:
            print()
        self._unfinished = False
        print(text, end=end, flush=True)


def _name(step: str) -> str:
    return step.replace("__", "/")


@dg.logger(config_schema={"verbose": dg.Field(bool, default_value=False)})
def progress_logger(context: dg.InitLoggerContext) -> logging.Logger:
    """The `progress` logger: chosen by a run's config, `loggers: {progress: {config: {verbose: true}}}`."""
    logger = logging.Logger("aerocast.progress", logging.DEBUG)
    logger.addHandler(_Lines(context.logger_config["verbose"]))
    return logger
