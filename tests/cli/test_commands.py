"""The commands in this process: every option has a test, what is opt-in waits, and what a person sees of logs."""

import argparse
import ast
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from aerocast.contracts import clock
from aerocast.feed.declaration import Feed
from aerocast_assets.automation.flow import forward_flow
from aerocast_assets.automation.switch import switch
from aerocast_assets.feeds import feeds, find_feed
from cli import interrupts, logs
from cli.__main__ import main, parser
from cli.run import forced
from tests import PROJECT
from tests.factories.feeds import small_feed
from tests.harness.graph import definitions


def options() -> Iterator[tuple[str, str]]:
    """Every command, also of a command, with each of its options and arguments, as people type them."""
    yield from _options(parser(), "")


def _options(of: argparse.ArgumentParser, command: str) -> Iterator[tuple[str, str]]:
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, subparser in action.choices.items():
                yield from _options(subparser, name)
        elif command and not isinstance(action, argparse._HelpAction):
            yield command, action.option_strings[-1] if action.option_strings else str(action.metavar)


def texts_of_tests() -> set[frozenset[str]]:
    """The texts in each test function, with its decorators: what a test runs stands there, not in a comment."""
    return {
        frozenset(str(each.value) for each in ast.walk(node) if isinstance(each, ast.Constant))
        for path in PROJECT.glob("tests/**/test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }  # fmt: skip


def test_options_of_commands_are_run_by_tests() -> None:
    texts = texts_of_tests()
    named = [(command, option) for command, option in options() if option.startswith("-")]
    assert len(named) > 15
    assert [each for each in named if not any(known >= set(each) for known in texts)] == []


def test_force_reaches_computing_steps_and_no_check(feed: Feed, home: Path) -> None:
    job = definitions(home, feed).resolve_job_def("small_refresh")
    config = forced(job)
    assert dg.validate_run_config(job, {"ops": config})
    assert {"small__bronze", "small__temperature__candidates", "small__temperature__champion"} <= set(config)
    checks = {name for name in job.graph.node_dict if "checks" in name}
    assert "small__bronze_checks" in checks
    assert not checks & set(config)


def test_only_simulated_feed_has_clock_and_it_can_be_reset(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--feed", "noaa", "--at", "2013-05-01"]) == 1
    assert "noaa is not simulated, its readings have their own time; allowed: heatwave" in capsys.readouterr().err
    assert clock.document(home, "noaa").read() is None
    at = ["--at", "2024-03-01T00:00Z"]
    assert main(["simulate", "--feed", "heatwave", *at, "--speed", "1", "--until", "2024-03-01T00:00Z"]) == 0
    said = capsys.readouterr().out
    assert "heatwave lives at 2024-03-01 00:00 UTC now; 1 second of its time in each of ours" in said
    assert clock.now(home, "heatwave") == datetime(2024, 3, 1, tzinfo=UTC)
    assert main(["simulate", "--feed", "heatwave", "--reset"]) == 0
    assert clock.document(home, "heatwave").read() is None
    assert main(["simulate", "--reset"]) == 0, "it may be said twice"
    for wrong in (["--speed", "-1"], ["--until", "2024-02-01"], ["--until", "soon"]):
        assert main(["simulate", *at, *wrong]) == 1


def test_unknown_target_lists_known_ones(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rows", "--feed", "noaa", "--target", "humidity"]) == 1
    assert capsys.readouterr().err == "error: --target: noaa has no target 'humidity'; allowed: temperature\n"
    assert main(["rows", "--target", "temperature"]) == 1
    assert "no release serves yet; `aerocast run --feed noaa` makes one" in capsys.readouterr().err


def instigators(feed: Feed, home: Path) -> dict[str, str]:
    repository = definitions(home, feed).get_repository_def()
    own = [each for each in (*repository.sensor_defs, *repository.schedule_defs) if each.name.startswith(feed.name)]
    return {each.name: each.default_status.value for each in own}


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [
        ("midwest", "AEROCAST_USER_AGENT", "(example.org, ops@example.org)"),
        ("heatwave", "AEROCAST_OPT_IN", "other, heatwave"),
    ],
)  # fmt: skip
def test_opt_in_feed_waits_for_variable(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, variable: str, value: str
) -> None:
    for each in ("AEROCAST_USER_AGENT", "AEROCAST_OPT_IN"):
        monkeypatch.delenv(each, raising=False)
    feed = find_feed(name)
    off = instigators(feed, home)
    assert set(off.values()) == {"STOPPED"}
    assert variable in switch(feed)
    asleep = forward_flow(feeds()).asset_selection.resolve(definitions(home, *feeds()).resolve_asset_graph())
    assert {key.path[0] for key in asleep} == {each.name for each in feeds() if not each.opt_in}
    monkeypatch.setenv(variable, value)
    on = instigators(feed, home)
    assert set(on.values()) == {"RUNNING"}
    assert off.keys() - on.keys() == {f"{name}_flow"}
    awake = forward_flow(feeds()).asset_selection.resolve(definitions(home, *feeds()).resolve_asset_graph())
    assert name in {key.path[0] for key in awake}


def test_other_feeds_run_automatically(readings: Path, home: Path) -> None:
    assert set(instigators(small_feed(readings), home).values()) == {"RUNNING"}


RUN = "2026-11-29 00:40:24 +0000 - dagster - %s - noaa_live - 9bff2d98-738a-47e6 - 15837 - noaa__raw - %s"
LINES = {
    RUN % ("DEBUG", "RUN_START - Started execution"): "",
    RUN % ("ERROR", 'STEP_FAILURE - Execution of step "noaa__raw" failed.'): "",
    RUN % ("DEBUG", "ASSET_CHECK_EVALUATION - Asset check 'fresh' on 'noaa/silver' passed. Description: 'new'"): "",
    RUN % ("WARNING", "ASSET_CHECK_EVALUATION - Asset check 'fresh' on 'a/silver' did not pass. Description: 'old'"): (
        "00:40:24 check fresh of a/silver: 'old'"
    ),
    "\x1b[32m2026-11-29 00:40:04 +0000\x1b[0m - dagster.daemon.X - \x1b[34mWARNING\x1b[0m - slow": (
        "00:40:04 warning dagster.daemon.X: slow"
    ),
    "2026-11-29 00:39:39,426 INFO AeroCast serves /home": "",
    "2026-11-29 00:39:39,426 ERROR no space left": "00:39:39 error no space left",
    "Traceback (most recent call last):": "",
}  # fmt: skip


def test_log_shows_warnings_once_and_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {line: logs.notice(line) for line in LINES} == LINES
    log = logs.ChildLog(tmp_path / "processes" / "x.log")
    for line in (*LINES, *LINES):
        log.file.write(f"{line}\n".encode())
    log.file.write(b"2026-11-29 00:39:39,426 ERROR half")
    log.file.flush()
    assert log.notices() == [shown for shown in LINES.values() if shown]
    log.file.write(b" a line\n")
    log.file.flush()
    assert log.notices() == ["00:39:39 error half a line"]
    assert log.last().endswith("half a line")
    monkeypatch.setattr(logs, "MOST", 100)
    assert log.notices() == []
    assert log.path.stat().st_size == 0
    assert b"half a line" in log.path.with_name("x.log.1").read_bytes()
    log.file.write(b"2026-11-29 00:39:40,000 WARNING after the cut\n")
    log.file.flush()
    assert log.notices() == ["00:39:40 warning after the cut"]


def test_swallowed_interrupt_is_noticed() -> None:
    with interrupts.stop_signals():
        assert interrupts.stopped() is None
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        signal.signal(signal.SIGINT, lambda *_: None)  # as Dagster does while a run starts
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.stopped() == signal.SIGTERM, "the first counts"
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


def test_make_help_has_line_for_every_target() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = {name for line in re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE) for name in line.split()}
    said = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    assert targets == {line.split()[1] for line in said.splitlines()}
