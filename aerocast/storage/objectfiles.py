"""DuckDB's view of an object store: the lake's data files, through obstore. Imported only where a home is a URL."""

from datetime import datetime
from typing import Any

from obstore.fsspec import FsspecStore

_MOST = 100_000


class DataFiles(FsspecStore):
    """What is known of a data file is asked once a process: DuckDB asks some twelve times a file and query.

    A data file's name is never used twice, so nothing known of it becomes wrong; one that was vacuumed fails when read.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known: dict[str, dict[str, Any]] = {}

    async def _info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        name = path.removeprefix("s3://")
        found = self._known.get(name)
        if found is None:
            found = await super()._info(path, **kwargs)
            if found["type"] == "file" and name.endswith(".parquet"):
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[name] = found
        return found

    def modified(self, path: str) -> datetime:
        moment: datetime = self.info(path)["last_modified"]
        return moment
