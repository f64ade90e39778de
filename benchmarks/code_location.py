"""How long the code location takes to load, beside `import dagster` and beside an empty component location.

Each figure is a fresh process that reports the seconds of the work alone, without Python's own start:
`import dagster`; the location of a project with no component in it (`load_from_defs_folder` of an empty folder); and
`aerocast_assets.definitions`, to the repository that Dagster serves. Byte code is compiled before. Target: the code
location takes at most 1.5 times `import dagster`. The last table says what our location imports beyond dagster.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measuring.processes import PROJECT, answer, environment
from measuring.spread import Spread, interleave, parser, ratio
from measuring.table import show, verdict

TARGET = 1.5
IMPORT = "import dagster"
LOAD = """
from {package}.definitions import defs
loaded = defs()
loaded.get_repository_def()
"""
TIMED = """
import json, time
began = time.perf_counter()
{work}
print(json.dumps(time.perf_counter() - began))
"""
PYPROJECT = """
[project]
name = "hollow"
version = "0"
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "hollow"
"""
DEFINITIONS = """
from pathlib import Path
import dagster as dg

@dg.definitions
def defs() -> dg.Definitions:
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


def empty_project(folder: Path) -> Path:
    """A project that declares nothing, laid out as `dg` lays one out."""
    package = folder / "hollow"
    (package / "defs").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    for place in (package, package / "defs"):
        (place / "__init__.py").touch()
    (package / "definitions.py").write_text(DEFINITIONS)
    return folder


def timed(work: str, cwd: Path) -> Callable[[], float]:
    """Measures a piece of code in a fresh process that runs in `cwd`."""
    code = TIMED.format(work=work)
    return lambda: float(answer(["-c", code], environment(), cwd))


def beyond_dagster(most: int) -> list[tuple[str, float]]:
    """The dearest imports of the location once dagster is there: module and seconds with what it pulls in."""
    code = "import dagster, sys\nprint('---', file=sys.stderr, flush=True)\n" + LOAD.format(package="aerocast_assets")
    command = [sys.executable, "-X", "importtime", "-c", code]
    said = subprocess.run(command, env=environment(), cwd=PROJECT, capture_output=True, text=True, check=True).stderr
    found = re.findall(r"^import time:\s+\d+ \|\s+(\d+) \| (\s*)(\S+)$", said.partition("\n---\n")[2], re.MULTILINE)
    heavy = [(name, int(total) / 1e6) for total, indent, name in found]
    return sorted(heavy, key=lambda entry: -entry[1])[:most]


def main() -> None:
    made = parser(__doc__, rounds=7)
    made.add_argument("--imports", type=int, default=8, help="how many imports to list (default: %(default)s)")
    options = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
        contenders = {
            IMPORT: timed(IMPORT, PROJECT),
            "empty component location": timed(LOAD.format(package="hollow"), empty_project(Path(folder))),
            "AeroCast's code location": timed(LOAD.format(package="aerocast_assets"), PROJECT),
        }
        for warm in contenders.values():
            warm()
        figures = interleave(options.rounds, contenders)
    ratios = {name: ratio(found, figures[IMPORT]) for name, found in figures.items()}
    rows = [[name, Spread.of(found).text(2, " s"), ratios[name].text()] for name, found in figures.items()]
    show(f"Loading, {options.rounds} rounds, median (least..greatest)", ["", "seconds", f"x {IMPORT}"], rows)
    reached = ratios["AeroCast's code location"].median
    print(f"  target: at most {TARGET} x {IMPORT}: {verdict(reached <= TARGET)} ({reached:.2f})")
    if options.imports:
        listed = [[name, f"{1000 * cost:.0f}"] for name, cost in beyond_dagster(options.imports)]
        show("What it imports beyond dagster (with what each pulls in)", ["module", "ms"], listed)


if __name__ == "__main__":
    main()
