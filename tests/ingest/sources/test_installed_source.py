"""A source kind of a user's own: one module of an installed package, and nothing of the project is edited."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import jsonschema
import pytest
import yaml

from aerocast.common import lineage
from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import SOURCES
from aerocast.lake import Lake
from aerocast_assets.feeds import TYPE
from aerocast_assets.keys import key
from cli.check import check
from tests.factories.feeds import declaration
from tests.factories.packages import EXAMPLES, install, install_example
from tests.harness.graph import definitions, metadata, refresh

SOURCE = {"kind": "tide", "height": 3.0}
GAUGE = (EXAMPLES / "tide_gauge/tide_gauge.py").read_text(encoding="utf-8")


@pytest.fixture
def module(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The installed package's module."""
    monkeypatch.setattr(SOURCES, "_classes", {})
    install_example(installed, "tide_gauge")
    yield installed / "tide_gauge.py"
    forget()


def forget() -> None:
    lineage.code_version.cache_clear()
    lineage._package.cache_clear()


def gauge(**changes: Any) -> dict[str, Any]:
    """Its declaration, which names no column that the gauge has not."""
    whole = declaration(Path("x"), name="gauge", source=SOURCE, end="2024-03-01T00:00:00Z")
    whole["columns"], whole["window"]["columns"] = whole["columns"][:1], ["temperature"]
    return whole | changes


def write(folder: Path, **changes: Any) -> Path:
    place = folder / "defs/gauge"
    place.mkdir(parents=True, exist_ok=True)
    (place / "defs.yaml").write_text(yaml.safe_dump({"type": TYPE, "attributes": gauge(**changes)}))
    return place


def test_declaration_of_installed_source_is_typed_and_in_schema(module: Path) -> None:
    feed = Feed.parse(gauge())
    assert feed.model_dump()["source"]["height"] == 3.0
    assert Feed.parse(feed.model_dump(mode="json")) == feed
    written = yaml.safe_load(yaml.safe_dump(gauge()))
    assert not list(jsonschema.Draft202012Validator(Feed.model_json_schema()).iter_errors(written))
    with pytest.raises(AeroCastError, match=r"source\.hight: no such field; did you mean height\?"):
        Feed.parse(gauge(source={"kind": "tide", "hight": 3.0}))


def test_installed_source_is_read_into_raw_once(module: Path, home: Path, instance: dg.DagsterInstance) -> None:
    feed = Feed.parse(gauge())
    first, second = (refresh(feed, home, instance, selection=[key(feed, "raw")]) for _ in range(2))
    assert first.success
    assert second.success
    assert [metadata(run, key(feed, "raw"))["rows_new"] for run in (first, second)] == [60 * 24, 0]
    assert Lake(home).rows("gauge/raw") == {"2024-01": 31 * 24, "2024-02": 29 * 24}


def test_raw_version_follows_code_of_package(module: Path, home: Path) -> None:
    def version() -> str | None:
        forget()
        feed = Feed.parse(gauge())
        return definitions(home, feed).resolve_asset_graph().get(key(feed, "raw")).code_version

    before = version()
    module.write_text(module.read_text() + "\n# words\n")
    assert version() == before
    module.write_text(module.read_text().replace("7200", "7205"))
    assert version() != before


@pytest.mark.parametrize("watch", ["whole", "live", "polled", "pushed"])
def test_installed_source_is_watched_as_declared(
    installed: Path, home: Path, monkeypatch: pytest.MonkeyPatch, watch: str
) -> None:
    monkeypatch.setattr(SOURCES, "_classes", {})
    switched = "    switch: ClassVar[tuple[str, str] | None] = ('TIDE_KEY', 'a-key')\n    watch:"
    source = GAUGE.replace('"live"', f'"{watch}"').replace("    watch:", switched)
    install(installed, "tide_gauge", "aerocast.sources", "tide", source, "TideSource")
    feed = Feed.parse(gauge(opt_in=True, poll="PT5M"))
    defined = definitions(home, feed)
    assert ("gauge_poll" in {each.name for each in defined.schedules or ()}) == (watch == "polled")
    sensor = next(each for each in defined.sensors or () if each.name == "gauge_live")
    assert sensor.minimum_interval_seconds == (300 if watch in ("whole", "live") else 30)
    assert "It is on where TIDE_KEY=a-key is set." in str(sensor.description)
    with (
        nullcontext() if watch != "polled" else pytest.raises(AeroCastError, match="poll: PT7M must be a whole number")
    ):
        Feed.parse(gauge(poll="PT7M"))


def test_check_command_accepts_installed_source(
    module: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check([write(tmp_path)]) == 0
    assert "1 declarations valid: gauge" in capsys.readouterr().out
    assert check([write(tmp_path, source={**SOURCE, "height": -1})]) == 1
    assert "source.height: -1 is not allowed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            None,
            "'tide' is not allowed: one of csv, ",
        ),
        (
            "import no_such_module",
            r"kind 'tide' (tide_gauge:TideSource) cannot be imported: No module named 'no_such_module'",
        ),
        (
            GAUGE.replace("    watch:", "    needs: ClassVar[tuple[str, ...]] = ('no_such_module',)\n    watch:"),
            "'tide' needs the module no_such_module, which is not installed",
        ),
    ],
)
def test_check_command_names_missing_source(
    installed: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    source: str | None,
    says: str,
) -> None:
    monkeypatch.setattr(SOURCES, "_classes", {})
    if source:
        install(installed, "tide_gauge", "aerocast.sources", "tide", source, "TideSource")
    assert check([write(tmp_path)]) == 1
    assert f"source.kind: {says}" in capsys.readouterr().out
