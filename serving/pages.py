"""The pages that people open: the files that web/ is bundled into, and what browsers may do with them."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from litestar import Router
from litestar.datastructures import CacheControlHeader
from litestar.file_system import BaseLocalFileSystem
from litestar.static_files import create_static_files_router
from litestar.types import FileInfo

FOLDER, PATH = Path(__file__).parent / "bundle", "/bundle"
ICON = '<link rel="icon" href="data:,">'
NOT_BUILT = f"""<!doctype html><html lang="en"><meta charset="utf-8">{ICON}<title>AeroCast</title>
<p>This server's pages are not built: run <code>make setup</code> in the project, with npm's registry in reach. All else
works: <a href="/schema/openapi.json">the API's document</a>, <a href="/health">health</a>.</p></html>""".encode()
# Nothing from another host, and no script but files of this server and those in a page whose digests follow.
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline';"
    " script-src 'self'{scripts}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_INLINE = re.compile(rb"<script(?: type='text/javascript')?>(.*?)</script>", re.DOTALL)


def is_built() -> bool:
    """Whether there are pages to show."""
    return (FOLDER / "schema.js").exists()


def index() -> bytes:
    """The page of `/`, or how to build it."""
    return (FOLDER / "index.html").read_bytes() if is_built() else NOT_BUILT


def url(name: str) -> str:
    """Where a file of the bundle is served."""
    return f"{PATH}/{name}"


def headers(page: bytes) -> dict[str, str]:
    """The header fields of a page: its scripts are known by their digests, so that no text in it becomes one."""
    digests = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _INLINE.findall(page)]
    policy = _POLICY.format(scripts="".join(f" 'sha256-{digest}'" for digest in digests))
    return {"content-security-policy": policy, "cache-control": "no-cache"}


class _Files(BaseLocalFileSystem):
    """Of this machine, where a name that no file can have is one that is not there."""

    async def info(self, path: Any, **kwargs: Any) -> FileInfo:
        try:
            return await super().info(path, **kwargs)
        except (OSError, ValueError):
            raise FileNotFoundError(path) from None


def files() -> Router:
    """The files of the bundle; a browser asks each time whether they have changed."""
    fresh = CacheControlHeader(no_cache=True)
    return create_static_files_router(PATH, [FOLDER], file_system=_Files(), cache_control=fresh)
