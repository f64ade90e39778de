"""The same work in PySpark, `local[2]`: one query a layer over everything, as one writes for a cluster.

Run as a script in an environment of its own, which has pyspark and not AeroCast: `by_spark.py JOB OUT` prints JSON.
"""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring.script import (
    PLACE,
    SPARK,
    Job,
    bad_values,
    beside,
    hourly,
    lacking,
    others,
    quarantine,
    said,
    spikes,
    stepped,
    typed,
    whole_readings,
)
from measuring.script import silver as silver_rows
from measuring.script import windows as window_rows

MEMORY = "6g"


def run(job: Job, out: Path) -> dict[str, float]:
    """Writes bronze, quarantine, silver and windows below `out`: rows of windows, seconds once Spark is up, of
    which so many of a core, and MiB."""
    from pyspark.sql import SparkSession  # in an environment of its own

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
    write(typed(job, SPARK, "raw"), "typed")
    write(bad_values(job, "typed"), "bad")
    write(_merged(job), "rows_0")
    write(said(job, "typed"), "said")
    write(spikes(job, "rows_0"), "failed_0")
    turn = 0
    while spark.table(f"failed_{turn}").count():
        found = " UNION ALL ".join(f"SELECT * FROM failed_{each}" for each in range(turn + 1))
        spark.sql(found).createOrReplaceTempView("spikes")
        write(others(f"failed_{turn}"), f"other_{turn}")
        write(_replaced(job, turn), f"rows_{turn + 1}")
        spark.sql(beside(f"rows_{turn + 1}", f"other_{turn}")).createOrReplaceTempView("beside")
        judged = f"SELECT * FROM ({spikes(job, 'beside')}) SEMI JOIN other_{turn} USING (station, sec, name)"
        write(judged, f"failed_{turn + 1}")
        turn += 1
    jumped = (
        f"SELECT {PLACE}, name, value, 'step' AS rule FROM said SEMI JOIN spikes USING (station, sec, name, number)"
    )
    write(f"SELECT * FROM bad{f' UNION ALL {jumped}' if turn else ''}", "apart")
    write(_flagged(job, f"rows_{turn}"), "bronze")
    write(quarantine(f"(SELECT * FROM apart UNION ALL {whole_readings(job, 'typed')})", "`column`"), "quarantine")
    write(hourly(job, "bronze"), "hours")
    first, last = spark.sql("SELECT min(step), max(step) FROM hours").collect()[0]
    write(silver_rows(job, SPARK, "hours", first, last + 1), "silver")
    write(window_rows(job, SPARK, "silver", first, last + 1, first, last + 1), "windows")
    found = {"rows": spark.table("windows").count(), "seconds": time.perf_counter() - began}
    java = str(spark.sparkContext._gateway.proc.pid)
    found["mib"], found["busy"] = _peak("self") + _peak(java), _busy(java) - busy
    spark.stop()
    return found


def _merged(job: Job) -> str:
    """Of several deliveries of a reading one row, with the last value of each column."""
    turn = "(delivery, line)"
    last = ", ".join(f"max_by({n}, {turn}) FILTER (WHERE {n} IS NOT NULL) AS {n}" for n, *_ in job["columns"])
    return f"""
        SELECT station, time, sec, max_by(segment, {turn}) AS segment, max_by(flags, {turn}) AS flags, {last},
            CAST(NULL AS STRING) AS rule
        FROM typed WHERE rule IS NULL GROUP BY station, time, sec"""


def _replaced(job: Job, turn: int) -> str:
    """The readings without what has failed in this turn, and with what takes its place."""
    names = [name for name, _ in stepped(job)]
    chosen = ", ".join(f"CASE WHEN {n}_failed IS NULL THEN {n} ELSE {n}_other END AS {n}" for n in names)
    failed = ", ".join(
        f"max(CASE WHEN name = '{n}' THEN 1 END) AS {n}_failed, max(CASE WHEN name = '{n}' THEN value END) AS {n}_other"
        for n in names
    )
    return f"""
        SELECT r.* EXCEPT ({", ".join(names)}), {chosen} FROM rows_{turn} r LEFT JOIN (
            SELECT station, sec, {failed} FROM failed_{turn} LEFT JOIN other_{turn} USING (station, sec, name)
            GROUP BY station, sec) USING (station, sec)"""


def _flagged(job: Job, rows: str) -> str:
    """Bronze, whose `flags` say by which rule a value is lacking."""
    names = ", ".join(name for name, *_ in job["columns"])
    return f"""
        SELECT station, time, sec, {names}, segment, nullif(concat_ws(' ', flags, rules), '') AS flags
        FROM {rows} LEFT JOIN (
            SELECT station, sec, array_join(array_sort(collect_list(concat(name, '=', rule))), ' ') AS rules
            FROM ({lacking(job, rows, "apart")}) GROUP BY station, sec) USING (station, sec)"""


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
