"""What a person would write by hand to take one feed from raw to windows in SQL: the texts, for DuckDB and for Spark.

Written for one job, the generated `midwest` feed, and told everything in a plain JSON document, so that it runs where
AeroCast is not installed. It keeps no versions, no marks and no lineage, and is not safe to kill: what is left is the
work itself. Standard library only.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

Job = dict[str, Any]

REACH = 3  # readings, and steps of the cadence, around a reading that the step rule looks at
BACK = 6  # steps that a fill reaches back
HOUR = 3600


class Dialect(NamedTuple):
    """Where the two engines differ."""

    steps: Callable[[int, int], str]  # a relation with one column `step`, low to high exclusive
    seconds: Callable[[str], str]  # of a timestamp, since 1970
    local_hour: Callable[[str, str], str]  # of seconds, in a time zone
    last_known: Callable[[str], str]  # the aggregate that overlooks nulls


DUCKDB = Dialect(
    steps=lambda low, high: f"(SELECT unnest(range({low}, {high})) AS step)",
    seconds=lambda time: f"epoch_us({time}) // 1000000",
    local_hour=lambda seconds, zone: f"hour(make_timestamptz({seconds} * 1000000) AT TIME ZONE '{zone}')",
    last_known=lambda value: f"last_value({value} IGNORE NULLS)",
)
SPARK = Dialect(
    steps=lambda low, high: f"(SELECT id AS step FROM range({low}, {high}))",
    seconds=lambda time: f"unix_seconds({time})",
    local_hour=lambda seconds, zone: f"hour(from_utc_timestamp(timestamp_seconds({seconds}), '{zone}'))",
    last_known=lambda value: f"last_value({value}) IGNORE NULLS",
)

BY_TIME = "PARTITION BY station ORDER BY"
PLACE = "station, time, sec, time_text, source, segment, delivery, line"  # of a reading


def typed(job: Job, dialect: Dialect, source: str) -> str:
    """Raw with each value that is in its range, in canonical units, and the first rule that a whole reading breaks."""
    texts = ", ".join(f"{field} AS {name}_text" for name, field, *_ in job["columns"])
    values = ", ".join(_value(*column[:6]) for column in job["columns"])
    stations = ", ".join(f"'{station[0]}'" for station in job["stations"])
    return f"""
        SELECT *, CASE WHEN time IS NULL THEN 'unparseable'
            WHEN station IS NULL OR station NOT IN ({stations}) THEN 'unknown_station'
            WHEN sec > {job["latest"]} THEN 'future' WHEN sec < {job["start"]} THEN 'early' END AS rule
        FROM (SELECT station, time, {dialect.seconds("time")} AS sec, delivery, line, segment, flags, time_text, source,
            {texts}, {values} FROM {source})"""


def _value(name: str, field: str, factor: float, offset: float, low: float, high: float) -> str:
    number = f"try_cast({field} AS DOUBLE) * {factor!r} + {offset!r}"
    return f"CASE WHEN {number} BETWEEN {low} AND {high} THEN {number} END AS {name}"


def bad_values(job: Job, source: str) -> str:
    """A row for each text of readings in `source` that is neither a value in its range nor a word for nothing."""
    words = ", ".join(f"'{word}'" for word in job["missing"])
    return " UNION ALL ".join(
        f"SELECT {PLACE}, '{name}' AS name, {name}_text AS value,"
        f" CASE WHEN abs(try_cast({name}_text AS DOUBLE)) < 1e300 THEN 'range' ELSE 'unparseable' END AS rule"
        f" FROM {source} WHERE rule IS NULL AND {name} IS NULL AND {name}_text IS NOT NULL"
        f" AND lower(trim({name}_text)) NOT IN ({words})"
        for name, *_ in job["columns"]
    )


def said(job: Job, source: str) -> str:
    """A row for each value in `source` that the step rule may judge, with the text that said it."""
    return " UNION ALL ".join(
        f"SELECT {PLACE}, '{name}' AS name, {name}_text AS value, {name} AS number FROM {source}"
        f" WHERE rule IS NULL AND {name} IS NOT NULL"
        for name, _ in stepped(job)
    )


def stepped(job: Job) -> list[tuple[str, float]]:
    """The columns that the step rule judges, and their steps."""
    return [(name, step) for name, *_, step in job["columns"] if step]


def spikes(job: Job, source: str) -> str:
    """Station, instant, column and value that jumps up and back: away from both sides, and from most around it."""
    return " UNION ALL ".join(_spikes(name, step, source) for name, step in stepped(job))


def _spikes(name: str, step: float, source: str) -> str:
    over, near = f"OVER ({BY_TIME} sec)", REACH * HOUR
    sides = ", ".join(
        f"CASE WHEN sec - lag(sec, {k}) {over} <= {near} THEN lag(v, {k}) {over} END AS b{k},"
        f" CASE WHEN lead(sec, {k}) {over} - sec <= {near} THEN lead(v, {k}) {over} END AS a{k}"
        for k in range(1, REACH + 1)
    )
    before, after = ([f"{side}{k}" for k in range(1, REACH + 1)] for side in "ba")
    up = " AND ".join(f"v > least({', '.join(side)}) + {step}" for side in (before, after))
    down = " AND ".join(f"v < greatest({', '.join(side)}) - {step}" for side in (before, after))
    votes = " + ".join(
        f"CASE WHEN {each} IS NULL THEN 0 WHEN abs(v - {each}) > {step} THEN 1 ELSE -1 END" for each in before + after
    )
    return f"""
        SELECT station, sec, '{name}' AS name, v AS number FROM (
            SELECT station, sec, v, {sides}
            FROM (SELECT station, sec, {name} AS v FROM {source} WHERE rule IS NULL AND {name} IS NOT NULL))
        WHERE (({up}) OR ({down})) AND {votes} > 0"""


def others(failed: str) -> str:
    """What takes the place of values in `failed`: the last in `said` that is not among `spikes`, if there is one."""
    return f"""
        SELECT station, sec, name, max_by(number, (delivery, line)) AS value FROM said
        SEMI JOIN {failed} USING (station, sec, name) ANTI JOIN spikes USING (station, sec, name, number)
        GROUP BY station, sec, name"""


def beside(rows: str, other: str) -> str:
    """The readings that the step rule looks at to judge those in `other`."""
    near = f"r.sec >= o.sec - {REACH * HOUR} AND r.sec <= o.sec + {REACH * HOUR}"
    return f"SELECT * FROM {rows} r SEMI JOIN {other} o ON r.station = o.station AND {near}"


def lacking(job: Job, rows: str, bad: str) -> str:
    """Of values that `rows` lack although one was delivered: station, instant, column and the rule that it broke."""
    lack = " ".join(f"WHEN '{name}' THEN {name} IS NULL" for name, *_ in job["columns"])
    return f"""
        SELECT station, sec, name, max_by(b.rule, (b.delivery, b.line)) AS rule
        FROM {bad} b JOIN (SELECT * FROM {rows} WHERE rule IS NULL) r USING (station, sec)
        WHERE CASE name {lack} END GROUP BY station, sec, name"""


def whole_readings(job: Job, source: str) -> str:
    """A row for each reading that breaks a rule as a whole; of equal ones the newest."""
    texts = ", ".join(f"{name}_text" for name, *_ in job["columns"])
    return f"""
        SELECT {PLACE}, NULL AS name,
            CASE WHEN rule = 'unknown_station' THEN station ELSE time_text END AS value, rule
        FROM (SELECT *, row_number() OVER (PARTITION BY station, time_text, {texts} ORDER BY delivery DESC, line DESC)
            AS newest FROM {source} WHERE rule IS NOT NULL)
        WHERE newest = 1"""


def quarantine(source: str, column: str) -> str:
    """Whole readings and bad values, with reasons; of equal texts the newest. `column` is that name, quoted."""
    newest = "row_number() OVER (PARTITION BY station, sec, name, value ORDER BY delivery DESC, line DESC)"
    return f"""
        SELECT station, time, time_text, name AS {column}, value, rule,
            concat(coalesce(name, 'the reading'), ' is \"', value, '\" (rule ', rule, ')') AS reason,
            source, segment, delivery, line
        FROM (SELECT *, CASE WHEN name IS NULL THEN 1 ELSE {newest} END AS newest FROM {source})
        WHERE newest = 1"""


def hourly(job: Job, source: str) -> str:
    """Mean, spread, extremes and count of each station's hours that have a reading."""
    figures = ", ".join(
        f"avg({n}) AS {n}_mean, stddev_samp({n}) AS {n}_std, min({n}) AS {n}_min, max({n}) AS {n}_max,"
        f" count({n}) AS {n}_count"
        for n, *_ in job["columns"]
    )
    return f"SELECT station, CAST(floor(sec / {HOUR}) AS BIGINT) AS step, {figures} FROM {source} GROUP BY 1, 2"


def silver(job: Job, dialect: Dialect, hours: str, low: int, high: int) -> str:
    """The hourly grid of steps low .. high; `hours` holds those with a reading, from BACK steps before on."""
    names, over = [name for name, *_ in job["columns"]], f"OVER ({BY_TIME} step)"
    known = ", ".join(
        f"{dialect.last_known(f'{n}_mean')} {over} AS {n}_last,"
        f" step - {dialect.last_known(f'CASE WHEN {n}_mean IS NOT NULL THEN step END')} {over} AS {n}_since"
        for n in names
    )
    chosen = ", ".join(
        f"CASE WHEN {n}_since <= {BACK} THEN {n}_last END AS {n},"
        f" CAST(CASE WHEN {n}_since <= {BACK} THEN {n}_since END AS SMALLINT) AS {n}_age,"
        f" {n}_mean, {n}_std, {n}_min, {n}_max, CAST(coalesce({n}_count, 0) AS INTEGER) AS {n}_count"
        for n in names
    )
    kept = ", ".join(f"{n}_{figure}" for n in names for figure in ("mean", "std", "min", "max", "count"))
    return f"""
        SELECT station, step, {chosen} FROM (
            SELECT station, step, {kept}, {known}
            FROM (SELECT id AS station, step FROM {_stations(job)}, {dialect.steps(low - BACK, high)})
            LEFT JOIN {hours} USING (station, step))
        WHERE step >= {low}"""


def _stations(job: Job) -> str:
    rows = ", ".join(f"('{name}', {latitude}, {longitude})" for name, latitude, longitude in job["stations"])
    return f"(SELECT * FROM (VALUES {rows}) AS s(id, latitude, longitude))"


def windows(job: Job, dialect: Dialect, grid: str, low: int, high: int, first: int, end: int) -> str:
    """Features and outcomes of the origins low .. high; `grid` holds silver's steps first .. end around them."""
    names, target, horizons = [name for name, *_ in job["columns"]], job["target"], job["horizons"]
    ahead = horizons[-1]
    totals = ", ".join(f"sum({n}) AS {n}_total, count({n}) AS {n}_stations" for n in names)
    others = "({n}_total - coalesce({n}, 0)) / nullif({n}_stations - CASE WHEN {n} IS NULL THEN 0 ELSE 1 END, 0)"
    near = ", ".join(f"{others.format(n=n)} - {n} AS {n}_near" for n in names)
    measured = f"CASE WHEN {target}_age = 0 THEN {target} END AS outcome"
    features = [
        *_lags(names, target, horizons),
        *_spans(names, target),
        *_near(names),
        *_clock(horizons),
        *_sun(horizons),
    ]
    places = [f"CASE WHEN station = '{name}' THEN 1 ELSE 0 END AS station_{name}" for name, *_ in job["stations"]]
    outcomes = [f"lead(outcome, {h}) {_OVER} AS y_{target}_{h}" for h in horizons]
    columns = ", ".join(
        f"CAST({text} AS FLOAT) AS {name}"
        for text, name in (each.rsplit(" AS ", 1) for each in [*features, *places, *outcomes])
    )
    kept = ", ".join([*names, *(f"{n}_age" for n in names)])
    return f"""
        SELECT * FROM (
            SELECT station, step, {columns}, count({target}) OVER ({BY_TIME} step ROWS BETWEEN 4 PRECEDING AND
                CURRENT ROW) AS newest
            FROM (
                SELECT station, step, {kept}, {near}, {measured}, path, declination, turn
                FROM (
                    SELECT id AS station, step, {_sky(dialect, job["zone"])}
                    FROM {_stations(job)}, {dialect.steps(first, end + ahead)})
                LEFT JOIN (SELECT station, step, {kept} FROM {grid}) USING (station, step)
                LEFT JOIN (SELECT step, {totals} FROM {grid} GROUP BY step) USING (step)))
        WHERE newest = 5 AND step >= {low} AND step < {high}"""


_OVER = f"OVER ({BY_TIME} step)"


def _rows(start: int, end: int) -> str:
    """A frame from `end` - 1 to `start` steps ago."""
    newest = f"{start} PRECEDING" if start else "CURRENT ROW"
    return f"OVER ({BY_TIME} step ROWS BETWEEN {end - 1} PRECEDING AND {newest})"


def _lags(names: list[str], target: str, horizons: list[int]) -> list[str]:
    near, far = range(12), (14, 17, 18, 20, 21, 23, 29, 35, 41, 47)
    seasonal = {days * 24 - h for days in (1, 2) for h in horizons}
    lags = [
        f"lag({n}, {k}) {_OVER} AS {n}_lag{k}"
        for steps in (near, far)
        for n in names
        for k in steps
        if steps is near or n != target or k not in seasonal
    ]
    lags += [_same_hour(target, h, days) for days in (1, 2) for h in horizons]
    ages = [f"{n}_age AS {n}_age" for n in names]
    changes = [f"{n} - lag({n}, {k}) {_OVER} AS {n}_change{k}" for n in names for k in (1, 3, 6, 12, 24)]
    return [*lags, *ages, *changes]


def _same_hour(target: str, h: int, days: int) -> str:
    """The target at the local hour of h steps ahead, days before; 23 or 25 hours where clocks were changed."""
    lag, hour = days * 24 - h, "CAST(round(turn * 24 / 6.283185307179586) AS INT)"
    change = f"(24 + lead({hour}, {h}) {_OVER} - lag({hour}, {lag}) {_OVER}) % 24"
    later, same, earlier = (f"lag({target}, {k}) {_OVER}" if k < 48 else "NULL" for k in (lag - 1, lag, lag + 1))
    name = f"{target}_season24_{h}" + ("" if days == 1 else f"_{days}")
    return f"CASE {change} WHEN 0 THEN {same} WHEN 1 THEN {later} WHEN 23 THEN {earlier} END AS {name}"


def _spans(names: list[str], target: str) -> list[str]:
    spans = ((0, 3), (0, 6), (0, 12), (0, 24), (24, 48))
    means = [f"avg({n}) {_rows(a, b)} - {n} AS {n}_mean{a}to{b}" for n in names for a, b in spans]
    figures = {"std": "stddev_pop({})", "min": "min({})", "max": "max({})"}
    less = {"std": "", "min": f" - {target}", "max": f" - {target}"}
    return means + [
        f"{text.format(target)} {_rows(0, end)}{less[figure]} AS {target}_{figure}{end}"
        for _, end in spans
        for figure, text in figures.items()
    ]


def _near(names: list[str]) -> list[str]:
    return [f"lag({n}_near, {k}) {_OVER} AS near_{n}_lag{k}" for n in names for k in (0, 1, 3)]


def _clock(horizons: list[int]) -> list[str]:
    return [f"lead({wave}(turn), {h}) {_OVER} AS hour_{wave}_{h}" for h in (0, *horizons) for wave in ("sin", "cos")]


def _sun(horizons: list[int]) -> list[str]:
    path = [f"lead(path, {h}) {_OVER} AS sun_{h}" for h in (0, *horizons)]
    between = f"OVER ({BY_TIME} step ROWS BETWEEN 1 FOLLOWING AND {{}} FOLLOWING)"
    energy = [f"sum(greatest(path, 0)) {between.format(h)} AS sunshine_{h}" for h in horizons]
    return [*path, *energy, "declination AS season"]


def _sky(dialect: Dialect, zone: str) -> str:
    """The sun's height and declination, and the local hour as an angle, of a station's step (Spencer 1971)."""
    turn = 6.283185307179586
    year = f"({turn} * ((step * {HOUR} / 86400e0 / 365.2425e0) % 1))"
    declination = f"(radians(23.44) * sin({year} - {turn} * 80 / 365.2425e0))"
    orbit = (
        f"(0.0000075e0 + 0.001868e0 * cos({year}) - 0.032077e0 * sin({year})"
        f" - 0.014615e0 * cos(2 * {year}) - 0.040849e0 * sin(2 * {year}))"
    )
    angle = f"({turn} * ((step * {HOUR}) % 86400 / 86400e0 - 0.5e0) + radians(longitude) + {orbit})"
    path = f"sin(radians(latitude)) * sin({declination}) + cos(radians(latitude)) * cos({declination}) * cos({angle})"
    local = dialect.local_hour(f"step * {HOUR}", zone)
    return f"{path} AS path, {declination} AS declination, {turn} * {local} / 24e0 AS turn"
