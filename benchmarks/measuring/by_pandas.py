"""The same work in pandas, by hand: some months at a time for the readings, a station at a time for the windows.

100 million rows of text do not fit into memory at once, so it goes in the pieces that ours goes in.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from measuring.script import BACK, HOUR, REACH, Job

KEY = ["station", "sec"]  # of a reading
SPANS = ((0, 3), (0, 6), (0, 12), (0, 24), (24, 48))
LAGS = (*range(12), 14, 17, 18, 20, 21, 23, 29, 35, 41, 47)
SEASONAL = (18, 21, 23, 42, 45, 47)  # lags of the target that `_seasons` has


def run(job: Job, out: Path) -> int:
    """Writes bronze, quarantine, silver and windows below `out`; how many rows there are of windows."""
    for layer in ("bronze", "quarantine", "silver", "windows"):
        (out / layer).mkdir(parents=True)
    pieces = []
    for number, piece in enumerate(job["pieces"]):
        good, bad = _clean(job, piece)
        good.drop(columns="sec").to_parquet(out / "bronze" / f"{number}.parquet")
        bad.to_parquet(out / "quarantine" / f"{number}.parquet")
        pieces.append(_hourly(job, good))
    grid = _grid(job, pd.concat(pieces))
    grid.to_parquet(out / "silver" / "0.parquet")
    rows = 0
    for station, frame in _windows(job, grid):
        frame.to_parquet(out / "windows" / f"{station}.parquet")
        rows += len(frame)
    return rows


def _clean(job: Job, piece: Job) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One piece of bronze and of quarantine."""
    around = [
        pd.Timestamp(piece[at] + way * REACH * HOUR, unit="s", tz="UTC") for at, way in (("low", -1), ("high", 1))
    ]
    near = [("time", ">=", around[0]), ("time", "<", around[1])]
    raw = pd.concat([pd.read_parquet(file, filters=near) for file in piece["files"]], ignore_index=True)
    raw["sec"] = raw["time"].dt.as_unit("s").astype("int64")
    raw = raw.sort_values(["station", "sec", "delivery", "line"], ignore_index=True)
    whole = _whole(job, raw)
    rows, bad = _values(job, raw[whole == ""])
    again = rows.duplicated(KEY, keep=False)
    many = rows[again]
    rows = pd.concat([rows[~again], many.groupby(KEY, as_index=False).last()])  # of each column the last known
    rows = rows.sort_values(KEY, ignore_index=True)
    spikes = _take_out_spikes(job, rows, many)
    apart = raw[whole != ""].assign(column=None, value=None, rule=whole[whole != ""])
    table = pd.concat([apart, *bad, *_texts(job, raw[whole == ""], spikes)])
    table = table[(table["sec"] >= piece["low"]) & (table["sec"] < piece["high"])]
    rows = rows[(rows["sec"] >= piece["low"]) & (rows["sec"] < piece["high"])]
    return _flagged(rows, table), _quarantine(job, table)


def _whole(job: Job, raw: pd.DataFrame) -> pd.Series:
    """The rule that each reading breaks as a whole, or an empty text."""
    unknown = ~raw["station"].isin([name for name, *_ in job["stations"]])
    tests = [raw["time"].isna(), unknown, raw["sec"] > job["latest"], raw["sec"] < job["start"]]
    return pd.Series(np.select(tests, ["unparseable", "unknown_station", "future", "early"], ""), index=raw.index)


def _values(job: Job, raw: pd.DataFrame) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Readings with each value that is in its range, and the rows of the texts that are none, column by column."""
    rows, bad = raw[["station", "time", "sec", "segment", "flags"]].copy(), []
    for name, field, factor, offset, low, high, _ in job["columns"]:
        numbers = pd.to_numeric(raw[field], errors="coerce") * factor + offset
        rows[name] = numbers.where(numbers.between(low, high))
        apart = raw[rows[name].isna() & raw[field].notna()]
        apart = apart[~apart[field].str.strip().str.lower().isin(job["missing"])]
        rule = np.where(np.isfinite(numbers[apart.index]), "range", "unparseable")
        bad.append(apart.assign(column=name, value=apart[field], rule=rule))
    return rows, bad


def _take_out_spikes(job: Job, rows: pd.DataFrame, many: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Takes spikes out of `rows`, the last other value of `many` in their place, which is judged in turn."""
    spikes = {}
    for name, *_, step in job["columns"]:
        if not step:
            continue
        said = many.loc[many[name].notna(), [*KEY, name]]
        failed = _spikes(rows.loc[rows[name].notna(), [*KEY, name]], name, step)
        found = [failed]
        while len(failed):
            tried = pd.concat(found)
            left = said.merge(failed[KEY]).merge(tried, how="left", indicator=True)
            other = left[left["_merge"] == "left_only"].groupby(KEY)[name].last()
            rows.loc[failed.index, name] = other.reindex(pd.MultiIndex.from_frame(failed[KEY])).to_numpy()
            fallen = failed.index[rows.loc[failed.index, name].notna()]
            beside = pd.Series(False, index=rows.index)
            for at in fallen:
                beside |= (rows["station"] == rows.at[at, "station"]) & (
                    (rows["sec"] - rows.at[at, "sec"]).abs() <= REACH * HOUR
                )
            failed = _spikes(rows.loc[beside & rows[name].notna(), [*KEY, name]], name, step)
            failed = failed[failed.index.isin(fallen)]
            found.append(failed)
        spikes[name] = pd.concat(found)
    return spikes


def _spikes(rows: pd.DataFrame, name: str, step: float) -> pd.DataFrame:
    """Those of `rows` that jump up and back: away from both sides, and from most around them."""
    by, near, value = rows.groupby("station"), REACH * HOUR, rows[name]
    shifts = [*range(1, REACH + 1), *range(-REACH, 0)]
    around = {k: by[name].shift(k).where((rows["sec"] - by["sec"].shift(k)).abs() <= near) for k in shifts}
    sides = [pd.concat([around[k] for k in side], axis=1) for side in (shifts[:REACH], shifts[REACH:])]
    up = (value > sides[0].min(axis=1) + step) & (value > sides[1].min(axis=1) + step)
    down = (value < sides[0].max(axis=1) - step) & (value < sides[1].max(axis=1) - step)
    votes = sum(((value - n).abs() > step).astype(int) * 2 - n.notna().astype(int) for n in around.values())
    return rows[(up | down) & (votes > 0)]


def _texts(job: Job, raw: pd.DataFrame, spikes: dict[str, pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The rows of raw that said each spike."""
    for name, field, factor, offset, *_ in job["columns"]:
        if name in spikes and len(spikes[name]):
            texts = raw.merge(spikes[name][KEY].drop_duplicates())
            numbers = pd.to_numeric(texts[field], errors="coerce") * factor + offset
            texts = texts.assign(column=name, value=texts[field], rule="step", **{name: numbers})
            yield texts.merge(spikes[name])


def _quarantine(job: Job, table: pd.DataFrame) -> pd.DataFrame:
    """One row a reading or a text, the newest, with its reason."""
    fields = [field for _, field, *_ in job["columns"]]
    alone, whole = table[table["column"].notna()], table[table["column"].isna()]
    alone = alone.sort_values(["delivery", "line"]).drop_duplicates([*KEY, "column", "value"], keep="last")
    whole = whole.sort_values(["delivery", "line"]).drop_duplicates(["station", "time_text", *fields], keep="last")
    whole = whole.assign(value=whole["station"].where(whole["rule"] == "unknown_station", whole["time_text"]))
    table = pd.concat([alone, whole]).astype({"column": "string", "value": "string", "rule": "string"})
    called = table["column"].fillna("the reading")
    table["reason"] = called + ' is "' + table["value"].fillna("") + '" (rule ' + table["rule"] + ")"
    places = ["station", "time", "time_text", "source", "segment", "delivery", "line"]
    return table[[*places, "column", "value", "rule", "reason"]]


def _flagged(rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Bronze, whose `flags` say by which rule a value is lacking."""
    newest = table.sort_values(["delivery", "line"]).drop_duplicates([*KEY, "column"], keep="last")
    flags = rows["flags"].astype("string").fillna("")
    place = pd.MultiIndex.from_frame(rows[KEY])
    for name in sorted(newest["column"].dropna().unique()):
        rule = newest[newest["column"] == name].set_index(KEY)["rule"].reindex(place).to_numpy()
        lacking = rows[name].isna() & pd.notna(rule)
        flags[lacking] = (flags[lacking] + f" {name}=" + rule[lacking]).str.strip()
    return rows.assign(flags=flags.where(flags != ""))


def _hourly(job: Job, rows: pd.DataFrame) -> pd.DataFrame:
    """Mean, spread, extremes and count of each station's hours that have a reading."""
    names = [name for name, *_ in job["columns"]]
    hours = rows.assign(step=rows["sec"] // HOUR).groupby(["station", "step"])[names]
    table = hours.agg(["mean", "std", "min", "max", "count"])
    table.columns = [f"{name}_{figure}" for name, figure in table.columns]
    return table.reset_index()


def _grid(job: Job, hours: pd.DataFrame) -> pd.DataFrame:
    """Silver: every hour of every station, the last mean carried on for BACK hours, with its age."""
    steps = np.arange(hours["step"].min(), hours["step"].max() + 1)
    every = pd.MultiIndex.from_product([[name for name, *_ in job["stations"]], steps], names=["station", "step"])
    grid = hours.set_index(["station", "step"]).reindex(every).reset_index()
    for name, *_ in job["columns"]:
        mean = grid[f"{name}_mean"]
        since = grid["step"] - grid["step"].where(mean.notna()).groupby(grid["station"]).ffill()
        grid[name] = mean.groupby(grid["station"]).ffill(limit=BACK)
        grid[f"{name}_age"] = since.where(since <= BACK).astype("Int16")
        grid[f"{name}_count"] = grid[f"{name}_count"].fillna(0).astype("int32")
    return grid


def _windows(job: Job, grid: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Features and outcomes of each station's origins."""
    names, ahead = [name for name, *_ in job["columns"]], job["horizons"][-1]
    by = grid.groupby("step")[names]
    total, count = by.sum(), by.count()
    places = {name: (latitude, longitude) for name, latitude, longitude in job["stations"]}
    for station, rows in grid.groupby("station", sort=False):
        own = rows.set_index("step")
        own = own.reindex(np.arange(own.index[0], own.index[-1] + 1 + ahead))
        columns = _series(names, job["target"], own)
        for name in names:
            others = (total[name] - own[name].fillna(0)) / (count[name] - own[name].notna()).replace(0, np.nan)
            columns |= {f"near_{name}_lag{k}": (others - own[name]).shift(k) for k in (0, 1, 3)}
        columns |= _sky(job, own.index.to_numpy(), places[str(station)])
        columns |= _seasons(job, own)
        columns |= {f"station_{name}": np.float32(name == station) for name in places}
        outcome = own[job["target"]].where(own[f"{job['target']}_age"] == 0)
        columns |= {f"y_{job['target']}_{h}": outcome.shift(-h) for h in job["horizons"]}
        frame = pd.DataFrame(columns, index=own.index).astype(np.float32)
        whole = own[job["target"]].notna().rolling(5).sum() == 5
        frame = frame[whole].iloc[: len(rows)]
        yield str(station), frame.assign(station=station, time=pd.to_datetime(frame.index * HOUR, unit="s", utc=True))


def _series(names: list[str], target: str, own: pd.DataFrame) -> dict[str, pd.Series]:
    """What a station's own columns say."""
    columns = {f"{n}_lag{k}": own[n].shift(k) for n in names for k in LAGS if n != target or k not in SEASONAL}
    columns |= {f"{n}_age": own[f"{n}_age"].astype("float32") for n in names}
    columns |= {f"{n}_change{k}": own[n] - own[n].shift(k) for n in names for k in (1, 3, 6, 12, 24)}
    for n in names:
        for start, end in SPANS:
            columns[f"{n}_mean{start}to{end}"] = own[n].shift(start).rolling(end - start, 1).mean() - own[n]
    for _, end in SPANS:
        rolled = own[target].rolling(end, 1)
        columns[f"{target}_std{end}"] = rolled.std(ddof=0)
        columns[f"{target}_min{end}"] = rolled.min() - own[target]
        columns[f"{target}_max{end}"] = rolled.max() - own[target]
    return columns


def _seasons(job: Job, own: pd.DataFrame) -> dict[str, pd.Series]:
    """The target a day and two days before each target time, at the same local hour."""
    local = pd.to_datetime(own.index.to_numpy() * HOUR, unit="s", utc=True).tz_convert(job["zone"])
    hour, series, columns = pd.Series(local.hour, index=own.index), own[job["target"]], {}
    for days in (1, 2):
        for h in job["horizons"]:
            lag = days * 24 - h
            change = (hour.shift(-h) - hour.shift(lag)) % 24
            values = series.shift(lag).where(change == 0)
            values = values.mask(change == 1, series.shift(lag - 1))
            values = values.mask(change == 23, series.shift(lag + 1) if lag + 1 < 48 else np.nan)
            columns[f"{job['target']}_season24_{h}" + ("" if days == 1 else f"_{days}")] = values
    return columns


def _sky(job: Job, steps: np.ndarray, place: tuple[float, float]) -> dict[str, pd.Series]:
    """The sun and the local clock (Spencer 1971)."""
    seconds, (latitude, longitude) = steps * HOUR, np.deg2rad(place)
    year = 2 * np.pi * ((seconds / 86400 / 365.2425) % 1)
    declination = np.deg2rad(23.44) * np.sin(year - 2 * np.pi * 80 / 365.2425)
    orbit = 0.0000075 + 0.001868 * np.cos(year) - 0.032077 * np.sin(year)
    orbit -= 0.014615 * np.cos(2 * year) + 0.040849 * np.sin(2 * year)
    angle = 2 * np.pi * (seconds % 86400 / 86400 - 0.5) + longitude + orbit
    height = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(angle)
    path, local = pd.Series(height, index=steps), pd.to_datetime(seconds, unit="s", utc=True).tz_convert(job["zone"])
    turn = pd.Series(2 * np.pi * local.hour.to_numpy() / 24, index=steps)
    horizons, energy = job["horizons"], path.clip(lower=0)
    columns = {f"hour_{wave}_{h}": getattr(np, wave)(turn).shift(-h) for h in (0, *horizons) for wave in ("sin", "cos")}
    columns |= {f"sun_{h}": path.shift(-h) for h in (0, *horizons)}
    columns |= {f"sunshine_{h}": energy.rolling(h).sum().shift(-h) for h in horizons}
    return columns | {"season": pd.Series(declination, index=steps)}
