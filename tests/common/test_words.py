"""Lengths of time and numbers as people say them, in everything that people read; and the words of the code itself."""

import ast
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

import aerocast
from aerocast.common.words import count, duration
from aerocast_assets.feeds import declared, find_feed
from tests.harness.graph import definitions

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ROOT = Path(aerocast.__file__).parents[1]
# Rooms whose names are nouns and verbs and whose texts are plain English; this list only ever grows.
PLAIN_ROOMS = (
    *("aerocast/common", "aerocast/client", "aerocast/storage", "aerocast/feed", "aerocast/features", "aerocast/lake"),
    *("aerocast/contracts", "aerocast/tables", "aerocast/models", "aerocast/ingest", "aerocast/releases"),
    *("aerocast/promotion", "aerocast/monitoring", "aerocast/retraining", "aerocast/operations"),
    *("aerocast/reporting", "aerocast/alerts", "aerocast_assets", "serving", "cli", "demo", "feeder"),
)
PARTICIPLES = re.compile(
    r"_*(added|asked|believed|changed|chosen|counted|done|found|gone|got|held|judged|kept|known|left|listed|lost|made"
    r"|meant|named|passed|put|reached|said|seen|shown|stored|taken|told|used|wanted|written)_*"
)
ARCHAISMS = re.compile(
    r"\b(anew|by and by|for ever|lest|nought|of before|that is none|thereby|whence|whereby|whoever)\b", re.I
)
TIMEDELTA = re.compile(r"\d:\d\d:\d\d")  # as str() of a timedelta writes it


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(0), "0 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(minutes=3), "3 minutes"),
        (HOUR, "1 hour"),
        (1.5 * HOUR, "1.5 hours"),
        (DAY, "1 day"),
        (30 * DAY, "30 days"),
        (2000 * DAY, "2,000 days"),
        (-2 * HOUR, "minus 2 hours"),
    ],
)
def test_duration_uses_largest_unit_that_fits(length: timedelta, text: str) -> None:
    assert duration(length) == text
    assert TIMEDELTA.search(str(length)), "the test below looks for what str() writes"


def test_count_of_one_is_singular() -> None:
    assert [count(n, "step") for n in (0, 1, 2, 26115)] == ["0 steps", "1 step", "2 steps", "26,115 steps"]
    assert count(2, "delivery", "deliveries") == "2 deliveries"


def descriptions(every: dg.Definitions) -> Iterator[str]:
    repository = every.get_repository_def()
    graph = repository.asset_graph
    yield from (graph.get(key).description or "" for key in graph.get_all_asset_keys())
    yield from (graph.get(key).description or "" for key in graph.asset_check_keys)
    for each in (*repository.sensor_defs, *repository.schedule_defs, *repository.get_all_jobs()):
        yield each.description or ""


@pytest.mark.parametrize("feed", declared())
def test_descriptions_contain_no_python_timedelta(feed: str, tmp_path: Path) -> None:
    texts = list(descriptions(definitions(tmp_path, find_feed(feed))))
    assert any("hour" in text for text in texts)
    assert [text for text in texts if TIMEDELTA.search(text)] == []


def names(module: ast.Module) -> Iterator[tuple[int, str]]:
    """The names that a module gives to functions, parameters, variables and attributes, by line.

    Fields of classes are left out, because some of them are stored under their names.
    """
    fields = {
        id(each.target) for node in ast.walk(module) if isinstance(node, ast.ClassDef) for each in annotated(node)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in fields:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def annotated(node: ast.ClassDef) -> list[ast.AnnAssign]:
    return [each for each in node.body if isinstance(each, ast.AnnAssign)]


@pytest.mark.parametrize("room", PLAIN_ROOMS)
def test_no_name_is_a_participle(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files, f"{room} holds no module"
    participles = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in files
        for line, name in names(ast.parse(path.read_text()))
        if PARTICIPLES.fullmatch(name)
    ]
    assert participles == []


@pytest.mark.parametrize("room", PLAIN_ROOMS)
def test_no_text_of_the_code_is_archaic(room: str) -> None:
    lines = (
        (f"{path.relative_to(ROOT)}:{number}: {line.strip()}", line)
        for path in sorted((ROOT / room).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
    )
    assert [place for place, line in lines if ARCHAISMS.search(line)] == []
