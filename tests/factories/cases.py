"""Feeds and files of the cases in `tests/data/cases`."""

import os
from collections.abc import Sequence
from typing import Any

import yaml

from aerocast.feed.declaration import Feed
from tests import DATA

CASES = DATA / "cases"


def case(name: str, declaration: str = "defs.yaml", **changes: Any) -> Feed:
    """A feed declared in a case's folder, whose CASE the declarations name."""
    os.environ["CASE"] = str(CASES / name)
    declared = yaml.safe_load((CASES / name / declaration).read_text(encoding="utf-8"))["attributes"]
    return Feed.parse(declared | changes)


def lines(*readings: Sequence[object], header: str = "station,time,temp") -> bytes:
    """A CSV file of these readings."""
    return "\n".join([header, *(",".join(map(str, reading)) for reading in readings), ""]).encode()
