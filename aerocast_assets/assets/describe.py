"""How assets show what they made: row counts, a preview, a picture."""

import base64
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.home import Home

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aerocast.lake import Lake

PREVIEW = 5
STATUS, UNCHANGED, COMPUTED = "status", "unchanged", "computed"
WIDTH = 16
LONG = 24


def status(work: object) -> dict[str, str]:
    """Whether a step had anything to do: people and `make run` read it on each materialisation."""
    return {STATUS: COMPUTED if work else UNCHANGED}


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table; floats with four significant digits."""
    if not rows:
        return "(none)"
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join(_cell(row.get(name)) for name in names)} |" for row in rows]
    return "\n".join(lines)


def preview(rows: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(markdown(rows))


def sample(lake: "Lake", name: str) -> dg.MarkdownMetadataValue:
    """The newest rows of a table."""
    import duckdb

    months = lake.months(name)
    if not months:
        return dg.MetadataValue.md("(no rows)")
    with duckdb.connect() as con:
        rows = lake.relation(con, name, months[-1:]).order("time DESC, station").limit(PREVIEW)
        return preview([dict(zip(rows.columns[:WIDTH], map(_short, row), strict=False)) for row in rows.fetchall()])


def png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def picture(image: bytes, title: str) -> dg.MarkdownMetadataValue:
    """The picture inside the metadata itself, so that the UI shows it wherever its files are."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(image).decode()})")


def drawing(path: Path, title: str, figure: "Figure | None" = None) -> dict[str, dg.MarkdownMetadataValue]:
    """The picture kept at `path`, drawn anew if there is a figure: a step with nothing to do shows what it showed last.

    Empty if none was ever drawn.

    Raises:
        AeroCastError: the disk refuses it.
    """
    from aerocast import durable

    if figure is not None:
        with durable.locked(path.parent, f"the picture {path.name}"):
            durable.replace_file(path, png(figure))
    return {title: picture(path.read_bytes(), title)} if path.exists() else {}


def report(root: Home, feed: str, target: str, name: str) -> Path:
    """Where a picture of a target's models lies."""
    return root / "reports" / feed / target / f"{name}.png"


def utc(time: Any) -> datetime:
    """A numpy instant (UTC) as a datetime that knows it."""
    return datetime.fromtimestamp(int(time.astype("datetime64[s]").astype(int)), UTC)


def _short(value: Any) -> Any:
    """A hash or a path would push what people look for off the page."""
    return f"{value[: LONG - 1]}…" if isinstance(value, str) and len(value) > LONG else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        # A space that does not break: a time is one line of its cell.
        return f"{value:%Y-%m-%d\u00a0%H:%M}{f':{value:%S}' if value.second else ''}"
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")
