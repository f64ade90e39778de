"""The home that a command works on, looked at before anything else happens; children are told the same."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aerocast.storage.home import Home

PROJECT = Path(__file__).resolve().parent.parent


def open_home(*, writes: bool) -> Home:
    """The home that the environment names. A writer's is made, marked and brought up to date where it must be.

    Raises:
        AeroCastError: it, or its folder on this machine, cannot be reached, read, made or written; it is of a newer
            format, or holds what AeroCast has not made under names that it uses.
    """
    from aerocast.storage import access, mark
    from aerocast.storage.home import home_of, variables
    from aerocast.storage.settings import Settings

    home = home_of(Settings())
    os.environ.update(variables(home))
    access.check_home(home, writes=writes)
    if writes:
        mark.ensure_mark(home)
    else:
        mark.check_format(home)
    return home


def use_own_instance() -> None:
    """Dagster's instance is this project's, whatever `DAGSTER_HOME` another one has left in the environment.

    Raises:
        AeroCastError: AEROCAST_DAGSTER_HOME names no folder with a dagster.yaml.
    """
    from aerocast.common.errors import AeroCastError
    from aerocast.storage.home import expanded
    from aerocast.storage.settings import Settings

    own, given = Settings().dagster_home, os.environ.get("DAGSTER_HOME")
    dagster_home = expanded(own, "AEROCAST_DAGSTER_HOME") if own else PROJECT
    if not (dagster_home / "dagster.yaml").is_file():
        raise AeroCastError(
            f"AEROCAST_DAGSTER_HOME={own!r} cannot be used: there is no {dagster_home / 'dagster.yaml'}"
        )
    if given and expanded(given, "DAGSTER_HOME") != dagster_home:
        print(
            f"DAGSTER_HOME={given} of the environment is not used, AeroCast has a Dagster instance of its own; "
            "AEROCAST_DAGSTER_HOME would choose another",
            file=sys.stderr,
        )
    os.environ["DAGSTER_HOME"] = str(dagster_home)
