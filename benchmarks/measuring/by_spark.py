"""The same work in PySpark, `local[2]`: one query a layer over everything, as one writes for a cluster.

Run as a script in an environment of its own, which has pyspark and not AeroCast: `by_spark.py JOB OUT` prints JSON.
"""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring.script import SPARK, Job, bronze_columns, hourly, quarantine_columns, spikes, typed
from measuring.script import silver as silver_rows
from measuring.script import windows as window_rows

MEMORY = "6g"


def run(job: Job, out: Path) -> dict[str, float]:
    """Writes bronze, quarantine, silver and windows below `out`: rows of windows, seconds once Spark is up, of
    which so many of a core, and MiB."""
    from pyspark.sql import SparkSession  # type: ignore[import-not-found]  # in an environment of its own

    built = SparkSession.builder.master("local[2]").config("spark.driver.memory", MEMORY)
    options = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": str(out / "scratch"),
        "spark.sql.debug.maxToStringFields": "1000",
    }
    for name, value in options.items():
        built = built.config(name, value)
    spark = built.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    began, busy = time.perf_counter(), _busy(str(spark.sparkContext._gateway.proc.pid))

    def write(query: str, table: str) -> None:
        spark.sql(query).write.parquet(f"file://{out / table}")
        spark.read.parquet(f"file://{out / table}").createOrReplaceTempView(table)

    spark.read.parquet(*(f"file://{file}" for file in job["files"])).createOrReplaceTempView("raw")
    newest = "row_number() OVER (PARTITION BY station, sec ORDER BY delivery DESC, line DESC)"
    ranked = f"SELECT *, {newest} AS place FROM ({typed(job, SPARK, 'raw')})"
    write(f"SELECT * FROM ({ranked}) WHERE place = 1", "once")
    jumped = f"LEFT JOIN ({spikes(job, '(SELECT * FROM once WHERE rule IS NULL)')}) s USING (station, sec)"
    marked = f"SELECT o.*, s.station IS NOT NULL AS spike FROM once o {jumped}"
    write(f"SELECT * EXCEPT (rule), coalesce(rule, CASE WHEN spike THEN 'step' END) AS rule FROM ({marked})", "judged")
    write(f"SELECT {bronze_columns(job)}, sec FROM judged WHERE rule IS NULL", "bronze")
    write(f"SELECT {quarantine_columns(job)} FROM judged WHERE rule IS NOT NULL", "quarantine")
    write(hourly(job, "bronze"), "hours")
    first, last = spark.sql("SELECT min(step), max(step) FROM hours").collect()[0]
    write(silver_rows(job, SPARK, "hours", first, last + 1), "silver")
    write(window_rows(job, SPARK, "silver", first, last + 1, first, last + 1), "windows")
    found = {"rows": spark.table("windows").count(), "seconds": time.perf_counter() - began}
    java = str(spark.sparkContext._gateway.proc.pid)
    found["mib"], found["busy"] = _peak("self") + _peak(java), _busy(java) - busy
    spark.stop()
    return found


def _peak(process: str) -> float:
    """The most memory (RSS) that a process ever held, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def _busy(process: str) -> float:
    """Seconds of a core that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    print(json.dumps(run(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))))
