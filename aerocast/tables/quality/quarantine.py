"""Selects what goes to quarantine, each with a sentence that names the field, the value and the rule."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from aerocast.common.sql import literal, quoted
from aerocast.contracts.drift_state import Fault
from aerocast.feed.column import Column
from aerocast.feed.declaration import Feed
from aerocast.tables.quality import readings, value_rules
from aerocast.tables.quality.steps import stepped
from aerocast.tables.raw import MALFORMED, raw_names

if TYPE_CHECKING:
    from aerocast.lake import Lake

# `column` is null for a whole reading; `value` is the text that broke the rule, as it was delivered.
_TEXTS = ("time_text", "column", "value", "rule", "reason", "source", "segment")
COLUMNS = {"station": "VARCHAR", "time": "TIMESTAMPTZ", **dict.fromkeys(_TEXTS, "VARCHAR")}
COLUMNS |= {"delivery": "BIGINT", "line": "BIGINT", "month": "VARCHAR"}
_EXCERPT = 60  # characters of a value in a sentence
_SAME = "q.month = r.month AND q.delivery = r.delivery AND q.line = r.line AND q.segment = r.segment"


def upgrade_columns(con: duckdb.DuckDBPyConnection, lake: "Lake", feed: Feed) -> bool:
    """Gives a quarantine of an early version, which has only whole readings, today's columns; returns whether it did.

    Months that can still be made are judged again after that.

    Raises:
        AeroCastError: the table cannot be read or written.
    """
    name = f"{feed.name}/quarantine"
    if not lake.exists(name):
        return False
    rows = lake.relation(con, name)
    if "column" in rows.columns:
        return False
    columns = ", ".join(
        f"CAST({quoted(each) if each in rows.columns else 'NULL'} AS {kind}) AS {quoted(each)}"
        for each, kind in COLUMNS.items()
    )
    lake.overwrite(name, rows.select(columns))
    return True


def whole(feed: Feed, now: datetime, faults: Sequence[Fault], have: Collection[str], within: str) -> str:
    """A select of the readings in `quality_rows` that break a rule as a whole; of identical ones the newest."""
    texts = ", ".join(f"r.{quoted(name)}" for name in raw_names(feed).values() if name in have)
    value = "CASE q.rule WHEN 'unknown_station' THEN r.station WHEN 'sensor_fault' THEN NULL ELSE r.time_text END"
    return f"""
        SELECT coalesce(q.station, r.station) AS station, r.time, r.time_text, NULL::VARCHAR AS "column",
            {value} AS value, q.rule, {_reading_reason(feed, now, faults)} AS reason, r.source, r.segment,
            r.delivery, r.line, r.month
        FROM quality_raw r JOIN quality_rows q ON {_SAME}
        WHERE q.rule IS NOT NULL AND {within}
        QUALIFY row_number() OVER (
            PARTITION BY r.month, r.station, r.time_text, r.flags, {texts or "NULL"}
            ORDER BY r.delivery DESC, r.line DESC, r.segment DESC) = 1"""


def suspects(con: duckdb.DuckDBPyConnection, feed: Feed, have: Collection[str]) -> None:
    """Creates `quality_suspects`: the rows of raw that `quality_bad` names, with each column's `t`, `n`, `c` and,
    as `s`, what its sender says of it."""
    statuses = "".join(f", {value_rules.sender_verdict(feed, i, have)} AS s{i}" for i in range(len(feed.columns)))
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE quality_suspects AS SELECT *, {value_rules.canonical(feed)} FROM (
            SELECT r.month, q.station, q.time, r.time_text, r.source, r.segment, r.delivery, r.line,
                {value_rules.flags(feed, have)} AS flags, {value_rules.texts(feed, have)}{statuses}
            FROM quality_raw r JOIN (SELECT DISTINCT * FROM quality_bad) q ON {_SAME})""")


def single(feed: Feed, faults: Sequence[Fault]) -> str:
    """A select of the values in `quality_suspects` that break a rule; of equal texts the newest.

    A text that its sender rejected in one delivery and not in another is two values.
    """
    parts = [_values(feed, faults, i, column) for i, column in enumerate(feed.columns)]
    parts += [_spikes(i, column) for i, column in stepped(feed)]
    return f"""
        SELECT station, make_timestamptz(epoch_us(time)) AS time, time_text, "column", value, rule, reason, source,
            segment, delivery, line, month
        FROM ({" UNION ALL ".join(parts)})
        QUALIFY row_number() OVER (
            PARTITION BY station, time, "column", value, rule = 'rejected'
            ORDER BY delivery DESC, line DESC, segment DESC) = 1"""


def _values(feed: Feed, faults: Sequence[Fault], i: int, column: Column) -> str:
    """One column's values that break a rule by themselves."""
    rule = value_rules.rule(feed, i, readings.is_faulty(faults, column.name))
    return _select(i, column, f"(SELECT *, {rule} AS rule FROM quality_suspects)", _value_reason(i, column, faults))


def _spikes(i: int, column: Column) -> str:
    """One column's values that break the step rule, under each spelling that was delivered."""
    step, called, unit = column.max_step or 0, _called(column), column.unit
    reason = _sentence(
        f"{called} is {{:g}} {unit}, a jump and back by more than {step:g} {unit}: {{:g}} before and {{:g}} after"
        " (rule step)",
        f"c{i}, before, after",
    )
    rows = (
        f"(SELECT s.*, p.before, p.after, 'step' AS rule FROM quality_suspects s JOIN quality_spikes p"
        f" ON p.name = {literal(column.name)} AND p.station = s.station AND p.time = s.time AND p.value = s.c{i}"
        f" WHERE NOT {value_rules.rejected(column)})"
    )
    return _select(i, column, rows, reason)


def _select(i: int, column: Column, rows: str, reason: str) -> str:
    return (
        f'SELECT station, time, time_text, {literal(column.name)} AS "column", t{i} AS value, rule, {reason} AS reason,'
        f" source, segment, delivery, line, month FROM {rows} WHERE rule IS NOT NULL"
    )


def _value_reason(i: int, column: Column, faults: Sequence[Fault]) -> str:
    text, called, (low, high), unit = f"left(t{i}, {_EXCERPT})", _called(column), column.range, column.unit
    cases = {
        "rule = 'unparseable'": _sentence(f'{called} "{{}}" is not a number (rule unparseable)', text),
        "rule = 'rejected'": _sentence(
            f'{called} "{{}}" was rejected by its sender, {{}} (rule rejected)', f"{text}, s{i}"
        ),
        "rule = 'range'": _sentence(
            f"{called} is {{:g}} {unit}, outside {low:g} to {high:g} {unit} (rule range)", f"c{i}"
        ),
    }
    for fault in [each for each in faults if each.column == column.name]:
        cases[f"rule = 'sensor_fault' AND {readings.covers(fault)}"] = literal(_fault(fault))
    return _case(cases)


def _stations(feed: Feed) -> str:
    """Which stations there are; of open ones those that have joined are among the feed's."""
    if not feed.open_stations:
        return f"{len(feed.stations)} declared stations"
    return f"{len(feed.stations)} stations that are declared or have joined (open_stations: {feed.open_stations})"


def _reading_reason(feed: Feed, now: datetime, faults: Sequence[Fault]) -> str:
    time, station = _escaped(" ".join(feed.source.time_fields)), _escaped(feed.source.station_field or "station")
    text = f"left(coalesce(r.time_text, ''), {_EXCERPT})"
    message = f"substr(r.flags, {len(MALFORMED) + 1})"
    line = f"split_part({message}, ':', 1)"
    fault = f"trim(substr({message}, length({line}) + 2))"
    cases = {
        "q.rule = 'malformed'": _sentence(
            'line {} "{}" is not a reading: {} (rule malformed)', f"{line}, {text}, {fault}"
        ),
        "q.rule = 'unparseable'": _sentence(
            f'{time} "{{}}" {{}} (rule unparseable)', f"{text}, {_why_no_instant(feed)}"
        ),
        "q.rule = 'unknown_station'": _sentence(
            f'{station} "{{}}" is not one of the {_stations(feed)} (rule unknown_station)',
            f"left(coalesce(r.station, ''), {_EXCERPT})",
        ),
        "q.rule = 'future'": _sentence(
            f'{time} "{{}}" is later than {readings.latest(feed, now):%Y-%m-%dT%H:%MZ}, or than the month {{}}, with'
            " which it came (rule future)",
            f"{text}, r.month",
        ),
        "q.rule = 'early'": _sentence(
            f'{time} "{{}}" is before {feed.start:%Y-%m-%dT%H:%MZ} or before the month {{}}, with which it came'
            " (rule early)",
            f"{text}, r.month",
        ),
    }
    for each in readings.faults_of_stations(feed, faults):
        cases[f"q.rule = 'sensor_fault' AND {readings.covers(each, 'q.')}"] = literal(_fault(each))
    return _case(cases)


def _why_no_instant(feed: Feed) -> str:
    """Why a text is not an instant."""
    texts = {
        "naive": "has no offset from UTC, and the feed declares no zone (source.timezone)",
        "skipped": f"is a time that the clocks of {feed.source.timezone} skip",
    }
    cases = " ".join(f"WHEN {literal(why)} THEN {literal(text)}" for why, text in texts.items())
    formats = feed.source.time_format
    spelling = f"written as {' or '.join(formats)}" if formats else "in ISO 8601"
    return f"CASE {feed.source.times.sql_fault('r.time_text')} {cases} ELSE {literal(f'is not a time {spelling}')} END"


def _fault(fault: Fault) -> str:
    span = f"from {fault.start:%Y-%m-%dT%H:%MZ} " + (f"to {fault.end:%Y-%m-%dT%H:%MZ}" if fault.end else "on")
    return f"{fault.column} of {fault.station} is faulty {span}: {fault.kind} (rule sensor_fault)"


def _called(column: Column) -> str:
    return column.name if column.name == column.field else f"{column.name} ({_escaped(column.field)})"


def _escaped(name: str) -> str:
    """A declared name for a template of `_sentence`, in which braces have a meaning."""
    return name.replace("{", "{{").replace("}", "}}")


def _case(cases: dict[str, str]) -> str:
    return f"CASE {' '.join(f'WHEN {case} THEN {sentence}' for case, sentence in cases.items())} END"


def _sentence(template: str, values: str) -> str:
    return f"format({literal(template)}, {values})"
