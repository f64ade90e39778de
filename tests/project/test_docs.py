"""Documents name what is there: links, files, every room and every decision."""

import re
from itertools import chain
from pathlib import Path

import pytest
import yaml

from tests import PROJECT

DOCS = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
FILE = re.compile(r"`((?:aerocast|aerocast_assets|serving|feeder|cli|demo)/[\w/]+\.py)`")


def quiz() -> list[tuple[str, str]]:
    text = (PROJECT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+\?) \| `(.+)` \|$", text, re.MULTILINE)
    return [(question, file) for question, file in rows]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_files_that_documents_name_exist() -> None:
    current = [path for path in DOCS if path.parent.name != "decisions"]
    named = set(chain.from_iterable(FILE.findall(path.read_text(encoding="utf-8")) for path in current))
    assert named
    assert [file for file in sorted(named) if not (PROJECT / file).is_file()] == []


def test_twenty_questions_have_one_file_each() -> None:
    questions = quiz()
    assert len(questions) == len({question for question, _ in questions}) == 20
    assert [file for _, file in questions if not (PROJECT / file).is_file()] == []


def test_every_room_is_described() -> None:
    text = (PROJECT / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (PROJECT / "aerocast").glob("*/__init__.py")}
    assert {room for room in rooms if f"| `{room}` |" not in text} == set()


def test_every_decision_is_in_the_index() -> None:
    folder = PROJECT / "docs/decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in sorted(folder.glob("[0-9]*.md")) if f"({path.name})" not in index] == []


def test_hooks_call_what_make_lint_calls() -> None:
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    lint = re.search(r"^lint: setup\n((?:\t.+\n)+)", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert lint
    calls = {line.removeprefix("\t@$(BIN)/").split()[0] for line in lint[1].splitlines()}
    assert {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks} == calls
    assert {hook["language"] for hook in hooks} == {"system"}, "a hook downloads nothing"
