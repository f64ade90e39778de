"""`aerocast demo`: the self-healing loop as a story."""

import argparse

from cli.command import Commands, add_command


def add(commands: Commands) -> None:
    add_command(commands, "demo", _run, "the self-healing loop as a story, on simulated time, with real processes")


def _run(options: argparse.Namespace) -> int:
    from demo.chapters import demo

    return demo(options.home)
