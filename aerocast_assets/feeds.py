"""The declared feeds, read without loading the code location."""

from pathlib import Path

import yaml

from aerocast.errors import AeroCastError
from aerocast.feed import Feed

DEFS = Path(__file__).parent / "defs"


def declared(defs: Path = DEFS) -> list[str]:
    """The names of all declared feeds."""
    return sorted(path.parent.name for path in defs.glob("*/defs.yaml"))


def find_feed(name: str, defs: Path = DEFS) -> Feed:
    """The feed declared in `defs/<name>/defs.yaml`.

    Raises:
        AeroCastError: there is none (the message lists those there are), or its declaration is not valid.
    """
    if name not in declared(defs):
        raise AeroCastError(f"--feed: there is no feed {name!r}; declared: {', '.join(declared(defs))}")
    path = defs / name / "defs.yaml"
    try:
        declaration = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise AeroCastError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    return Feed.parse((declaration or {}).get("attributes") or {}, where=str(path))
