"""The rows that a release was trained on, read back from the version of the table that it read, and checked."""

import argparse
from collections import Counter

from aerocast.common.errors import AeroCastError
from aerocast.storage.home import Home, expanded
from cli.command import Commands, add_command


def add(commands: Commands) -> None:
    about = "the rows that a release was trained on, read back and checked"
    parser = add_command(commands, "rows", _run, about, writes=False)
    parser.add_argument("--feed", default="noaa")
    parser.add_argument("--target", default="temperature")
    parser.add_argument("--release", default="", help="its version; default: the one that serves")
    parser.add_argument("--output", default="", help="a Parquet file to write them to")


def _run(options: argparse.Namespace) -> int:
    return rows(options.home, options.feed, options.target, options.release, options.output)


def rows(home: Home, feed: str, target: str, version: str = "", output: str = "") -> int:
    """Says what a release (the one that serves, if none is named) was trained on; writes it as Parquet if asked to.

    Raises:
        AeroCastError: there is no such release, or its rows cannot be read back as they were.
    """
    import pyarrow.parquet as pq

    from aerocast.lake import Lake, connection
    from aerocast.releases import release
    from aerocast.releases.readback import LAYER, training_rows

    _check_target(home, feed, target)
    own_version = version or _serving(home, feed, target)
    manifest = release.load(home, feed, target, own_version).manifest
    with connection() as con:
        table = training_rows(con, Lake(home), manifest)
    lineage, roles = manifest.lineage, Counter(table["role"].to_pylist())
    print(f"release {own_version} of {feed}/{target} ({manifest.kind}), config_hash {lineage.config_hash[:8]}")
    print(f"{len(table)} rows of {feed}/{target}/{LAYER} version {lineage.delta_versions[LAYER]}, content verified")
    print("roles: " + ", ".join(f"{role} {count}" for role, count in sorted(roles.items())))
    if output:
        try:
            pq.write_table(table, expanded(output, "--output"))
        except OSError as error:
            raise AeroCastError(f"--output: {output} cannot be written: {error.strerror or error}") from error
        print(f"written to {output}")
    return 0


def _serving(home: Home, feed: str, target: str) -> str:
    from aerocast.releases import release

    pointer = release.current(home, feed, target)
    if pointer is None:
        raise AeroCastError(f"{feed}/{target}: no release serves yet; `aerocast run --feed {feed}` makes one")
    return pointer.version


def _check_target(home: Home, feed: str, target: str) -> None:
    """Raises AeroCastError unless the feed is declared with the target, or has releases of it from before."""
    from aerocast.releases import release
    from aerocast_assets.feeds import find_feed

    if release.current(home, feed, target) is None and target not in (targets := find_feed(feed).targets):
        raise AeroCastError(f"--target: {feed} has no target {target!r}; allowed: {', '.join(targets)}")
