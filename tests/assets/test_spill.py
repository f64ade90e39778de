"""What DuckDB spills goes to a folder that nobody else can have made before, or can look into."""

import os
import stat
from pathlib import Path

from aerocast_assets.resources import Platform


def test_folder_of_spilled_rows_belongs_to_process_alone(tmp_path: Path) -> None:
    with Platform(home=str(tmp_path)).sql() as con:
        row = con.execute("SELECT current_setting('temp_directory')").fetchone()
    assert row
    status = os.stat(row[0])
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.getuid(), 0o700)
    assert str(os.getpid()) not in Path(row[0]).name, "such a name can be made before"
