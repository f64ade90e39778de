"""How assets show what they made: row counts, a preview, a picture."""

import io
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.storage.home import Home
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aerocast.lake import LakeReader

PREVIEW = 5
SAMPLES = 24  # newest months of a run whose rows are shown
STATUS, UNCHANGED, COMPUTED = "status", "unchanged", "computed"
WIDTH = 16
LONG = 24
PIXELS = 900  # the widest picture that a page of the UI shows whole


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


def sample(lake: "LakeReader", name: str, month: str | None = None) -> dg.MarkdownMetadataValue:
    """The newest rows of a table, or of one of its months."""
    from aerocast.lake import connection

    months = [month] if month else lake.months(name)[-1:]
    if not months:
        return dg.MetadataValue.md("(no rows)")
    with connection() as con:
        rows = lake.relation(con, name, months).order("time DESC, station").limit(PREVIEW)
        return preview([dict(zip(rows.columns[:WIDTH], map(_short, row), strict=False)) for row in rows.fetchall()])


def count_rows(
    context: dg.AssetExecutionContext,
    lake: "LakeReader",
    names: Sequence[str],
    months: Sequence[str],
    stale: Collection[str],
) -> dict[str, Any]:
    """Tells with each month's event how many rows it has, and of one that was made what they look like.

    Returned is what holds for every month: the rows of the whole tables, those of the run's months, the version.
    """
    lake = lake.view()
    counts = [lake.rows(name) for name in names]
    for month in months:
        own: dict[str, Any] = {"dagster/partition_row_count": sum(rows.get(month, 0) for rows in counts)}
        if month in sorted(stale)[-SAMPLES:] and counts[0].get(month):
            own["preview"] = sample(lake, names[0], month)
        context.add_asset_metadata(own, partition_key=month)
    return {
        "dagster/row_count": sum(sum(rows.values()) for rows in counts),
        "rows": sum(rows.get(month, 0) for rows in counts for month in months),
        "delta_version": lake.version(names[0]),
    }


def png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=min(100, PIXELS / figure.get_figwidth()))
    return buffer.getvalue()


def drawing(
    platform: Platform, path: Path, title: str, figure: "Figure | None" = None
) -> dict[str, dg.MetadataValue[Any]]:
    """Where the server shows the picture at `path` below the home, and its file; drawn only if there is a figure.

    The picture itself is no metadata: Dagster stores that five times an event, and its pages cut what is wide. Empty if
    none was ever drawn.

    Raises:
        AeroCastError: the disk refuses it.
    """
    from aerocast.storage import atomic

    if figure is not None:
        with atomic.folder_lock(path.parent, f"the picture {path.name}"):
            atomic.replace_file(path, png(figure))
    if not path.exists():
        return {}
    url = f"{platform.settings.server}/{path.relative_to(Path(platform.root)).as_posix()}"
    return {title: dg.MetadataValue.url(url), f"{title}_file": dg.MetadataValue.path(path)}


def report(root: Home, feed: str, target: str, name: str) -> Path:
    """Where a picture of a target's models lies."""
    return root / "reports" / feed / target / f"{name}.png"


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
