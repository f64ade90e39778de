"""Gives DuckDB the data files of a lake in an object store, through obstore. Imported only if the home is a URL."""

from datetime import datetime
from typing import Any

from obstore.fsspec import FsspecStore

_MOST = 100_000


class DataFiles(FsspecStore):
    """Remembers the size and time of each data file: DuckDB asks for them about twelve times a file and query.

    The name of a data file is never used twice, so they do not change; one that was vacuumed fails when read.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._infos: dict[str, dict[str, Any]] = {}

    async def _info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        name = path.removeprefix("s3://")
        info = self._infos.get(name)
        if info is None:
            info = await super()._info(path, **kwargs)
            if info["type"] == "file" and name.endswith(".parquet"):
                if len(self._infos) >= _MOST:
                    self._infos.clear()
                self._infos[name] = info
        return info

    def modified(self, path: str) -> datetime:
        moment: datetime = self.info(path)["last_modified"]
        return moment
