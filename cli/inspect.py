"""`aerocast inspect`: the declaration that a file of readings suggests."""

import argparse
from pathlib import Path

from cli.command import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(commands, "inspect", _run, "propose a declaration for a file of readings", needs_home=False)
    parser.add_argument("file", type=Path, help="CSV or another delimited text, Parquet, or JSON lines")
    parser.add_argument("--name", help="name of the feed (default: the file's)")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write FOLDER/<name>/defs.yaml instead of printing it"
    )


def _run(options: argparse.Namespace) -> int:
    """Prints the proposal, or writes it where no declaration is yet.

    Raises:
        AeroCastError: the file cannot be read, or there is a declaration already.
    """
    import yaml

    from aerocast.common.errors import AeroCastError
    from aerocast.ingest.inspection.proposal import propose

    text = propose(options.file, options.name)
    if options.out is None:
        print(text, end="")
        return 0
    path = options.out / yaml.safe_load(text)["attributes"]["name"] / "defs.yaml"
    if path.exists():
        raise AeroCastError(f"{path} is there already; remove it, or choose another --name")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"{path} is written; check what it guesses, then run `aerocast check` and `make run FEED={path.parent.name}`")
    return 0
