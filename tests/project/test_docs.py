"""Documents name what is there: links, files, commands, every room and every decision."""

import re
import shlex
from itertools import chain
from pathlib import Path

import pytest
import yaml

from cli.__main__ import parser
from tests import PROJECT
from tests.harness.documents import BASH, PAGES, SKIPPED, Site, blocks

DOCS = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CURRENT = [path.relative_to(PROJECT).as_posix() for path in DOCS if path.parent.name != "decisions"]
INLINE = re.compile(r"`((?:make|\.venv/bin/aerocast|aerocast) [^`<\[]+)`")
FILE = re.compile(r"`((?:aerocast|aerocast_assets|serving|feeder|cli|demo)/[\w/]+\.py)`")


def quiz() -> list[tuple[str, str]]:
    text = (PROJECT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+\?) \| `(.+)` \|$", text, re.MULTILINE)
    return [(question, file) for question, file in rows]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_links_lead_to_files(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_files_named_in_documents_exist() -> None:
    named = set(chain.from_iterable(FILE.findall((PROJECT / page).read_text(encoding="utf-8")) for page in CURRENT))
    assert named
    assert [file for file in sorted(named) if not (PROJECT / file).is_file()] == []


def test_quiz_has_twenty_questions_with_one_file_each() -> None:
    questions = quiz()
    assert len(questions) == len({question for question, _ in questions}) == 20
    assert [file for _, file in questions if not (PROJECT / file).is_file()] == []


def test_rooms_are_described() -> None:
    text = (PROJECT / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (PROJECT / "aerocast").glob("*/__init__.py")}
    assert {room for room in rooms if f"| `{room}` |" not in text} == set()


def test_decisions_are_indexed() -> None:
    folder = PROJECT / "docs/decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in sorted(folder.glob("[0-9]*.md")) if f"({path.name})" not in index] == []


def test_hooks_call_same_tools_as_make_lint() -> None:
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    lint = re.search(r"^lint: setup\n((?:\t.+\n)+)", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert lint
    calls = {line.removeprefix("\t@$(BIN)/").split()[0] for line in lint[1].splitlines()}
    assert {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks} == calls
    assert {hook["language"] for hook in hooks} == {"system"}, "a hook downloads nothing"


def commands(page: str) -> list[str]:
    """Each command of `make` and `aerocast` that a page has in its text or in a fence, whether it is run or not."""
    fences = [text for language, _, text in blocks(page) if language == "bash"]
    lines = [line.split("#")[0] for line in "\n".join(fences).replace("\\\n", " ").splitlines()]
    return [*INLINE.findall((PROJECT / page).read_text(encoding="utf-8")), *lines]


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        target for page in CURRENT for text in commands(page) for target in re.findall(r"\bmake ([a-z][\w-]*)", text)
    }
    assert len(named) > 10
    assert named - targets == set()


@pytest.mark.parametrize("page", CURRENT)
def test_aerocast_commands_in_documents_parse(page: str) -> None:
    for text in commands(page):
        if found := re.search(r"(?:^|\s)(?:\.venv/bin/)?aerocast ([a-z].*)", text):
            parser().parse_args(shlex.split(found[1]))


def test_commands_in_documents_run_or_have_reason() -> None:
    found = [(page, how) for page in CURRENT for language, how, _ in blocks(page) if language == "bash"]
    assert {how for _, how in found} == {*BASH}
    run = {*chain.from_iterable(PAGES.values())}
    assert {page for page, how in found if not how.startswith("skip=")} == run
    assert [test for _, test in SKIPPED.values() if not (PROJECT / test).exists()] == []


@pytest.mark.e2e
def test_commands_without_data_run(tmp_path: Path) -> None:
    site = Site(tmp_path / "aerocast")
    quick = [
        text for page in sorted(chain.from_iterable(PAGES.values())) for _, how, text in blocks(page) if how == "quick"
    ]
    assert quick
    for text in quick:
        site.run(text)
