"""The pictures of the home's reports: who sees a link in the platform's pages can open it."""

import re
from pathlib import Path

from aerocast.storage import atomic
from aerocast.storage.home import Home
from serving.problems import problem

FOLDER = "reports"
LARGEST = 16 << 20
_NAME, _FILE = re.compile(r"[a-z][a-z0-9_]*"), re.compile(r"[a-z][a-z0-9_-]*\.png")


def picture(home: Home, feed: str, target: str, name: str) -> bytes:
    """`reports/<feed>/<target>/<name>` of the home, a PNG. Raises a 404 problem for anything else."""
    if _NAME.fullmatch(feed) and _NAME.fullmatch(target) and _FILE.fullmatch(name):
        root = (Path(home) / FOLDER).resolve()
        try:
            path = (root / feed / target / name).resolve(strict=True)
            if path.is_relative_to(root):  # a link may lead elsewhere
                return atomic.read_file(path, LARGEST)
        except (OSError, RuntimeError):  # the latter of links in a circle
            pass
    rule = f"/{FOLDER}/<feed>/<target>/<name>.png of a picture that was drawn"
    raise problem("no-picture", "There is no such picture.", status=404, field="path", value=name, rule=rule)
