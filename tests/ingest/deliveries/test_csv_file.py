"""CSV files whatever their damage: what was written is read back, and nothing odd costs other records."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from aerocast.feed.text_format import TextFormat
from aerocast.ingest.deliveries import csv_lines
from aerocast.ingest.deliveries.columns import Columns
from aerocast.ingest.deliveries.csv_file import CsvFile, open_csv
from aerocast.ingest.deliveries.csv_lines import CsvFault
from tests import SHARED

CASES = SHARED.parent / "cases"
HEADER = ["station", "time", "temp", "remark"]
Row = tuple[str, ...]


def choose(names: list[str]) -> Columns:
    return Columns("station", ("time",), tuple(name for name in HEADER[2:] if name in names))


def rows(file: CsvFile) -> Iterator[tuple[str | None, ...]]:
    """Each record's texts, behind what is wrong with it and the line that it was."""
    for table, flags, texts in file.pieces():
        columns = [column.to_pylist() for column in table.columns]
        extra = [[None] * len(table) if each is None else each.to_pylist() for each in (flags, texts)]
        yield from zip(*extra, *columns, strict=True)


def read(
    path: Path,
    broken_lines: float = 0.05,
    text_format: TextFormat = TextFormat(),  # noqa: B008  # frozen
) -> tuple[list[Row], list[str]]:
    """The sound records of a file, and the notes."""
    with open_csv(path, choose, broken_lines, text_format) as file:
        found = list(rows(file))
        assert len(found) == file.rows
        return [tuple(map(str, row[2:])) for row in found if row[0] is None], file.notes


def written(table: Sequence[Row], ending: str = "\n") -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator=ending).writerows([HEADER, *table])
    return out.getvalue()


# Stray marks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "marks"), [("one", 1), ("two", 2), ("mid", 0)])
def test_stray_quote_loses_no_record(name: str, marks: int) -> None:
    path = CASES / "45-stray-quotes" / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"no case at {path}")
    found, notes = read(path)
    assert [row[1] for row in found] == [f"2024-03-01T{hour:02d}:00:00Z" for hour in range(24)]
    said = f"{marks} lines with a stray quotation mark, which was read as text; the first is line 7"
    assert notes == ([said] if marks else [])


def test_stray_quote_in_large_file_loses_no_record(tmp_path: Path) -> None:
    lines = [f"AAA,2024-03-01T00:00:00Z,{number},\n" for number in range(172_800)]
    lines[5] = lines[5].replace(",\n", ',"pump off\n')
    (tmp_path / "big.csv").write_text(f"{','.join(HEADER)}\n{''.join(lines)}")
    found, notes = read(tmp_path / "big.csv")
    assert [row[2] for row in found] == [str(number) for number in range(172_800)]
    assert notes[0].endswith("the first is line 7")


def test_stray_quote_closed_by_another_loses_no_record(tmp_path: Path) -> None:
    """By the rules of CSV this is one record of three lines; but each of them is a record."""
    text = 'a,2024-01-01,1,"off\na,2024-01-02,2,\na,2024-01-03,3,on"\n'
    (tmp_path / "x.csv").write_text(f"{','.join(HEADER)}\n{text}")
    found, notes = read(tmp_path / "x.csv")
    assert [row[1] for row in found] == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert notes == ["1 lines with a stray quotation mark, which was read as text; the first is line 2"]


def test_multiline_value_is_read_and_reported(tmp_path: Path) -> None:
    table = [("a", "2024-01-01", "1", "one\r\ntwo, three"), ("a", "2024-01-02", "2\n3", "")]
    (tmp_path / "x.csv").write_text(written(table), newline="")
    found, notes = read(tmp_path / "x.csv")
    assert found == table
    assert notes == ["2 records of more than one line; the first is line 2"]


# Broken lines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"a,2024-01-01", "2 fields instead of 4"),
        (b"a,2024-01-01,1,2,3", "5 fields instead of 4"),
        (b'a,"2024-01-01,1', "3 fields instead of 4"),
        (b"a,2024-01-01,\xfc,1", "it is not UTF-8"),
        (b"a,2024-01-01,\0,1", "it has a NUL character"),
    ],
)
def test_broken_line_is_set_aside_with_number_and_text(tmp_path: Path, line: bytes, what: str) -> None:
    good = b"a,2024-01-01,1,\n"
    (tmp_path / "x.csv").write_bytes(b"\n\n".join([",".join(HEADER).encode(), good + line + b"\n" + good * 20]))
    with open_csv(tmp_path / "x.csv", choose, 0.05) as file:
        found = list(rows(file))
        notes = file.notes
    text = line.decode(errors="replace")
    assert found[1] == (f"malformed=4: {what}", text, None, None, None, None)
    assert Counter(row[0] for row in found) == {None: 21, found[1][0]: 1}
    assert notes == [
        f"1 of 22 lines are broken and quarantined; the first is line 4: {what}: {text!r}",
        "1 blank lines, which were ignored; the first is line 2",
    ]
    with pytest.raises(CsvFault, match=r"has 1 broken lines of 22, allowed: at most 4% of the lines; the first is"):
        read(tmp_path / "x.csv", 0.04)


def test_line_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"station,time,temp\n" + b"x" * (csv_lines.BLOCK + csv_lines.LONGEST))
    with pytest.raises(CsvFault, match="a line of more than"):
        read(tmp_path / "x.csv")


def test_old_mac_line_ends_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"station,time,temp\ra,2024-01-01,1\rb,2024-01-02,2\r")
    assert read(tmp_path / "x.csv")[0] == [("a", "2024-01-01", "1"), ("b", "2024-01-02", "2")]


# Formats -------------------------------------------------------------------------------------------------------------


def test_lines_before_and_behind_header_are_skipped_and_counted(tmp_path: Path) -> None:
    text = "made by logger 7\n\n# site\nstation;time;temp\n;;degC\na;2024-01-01;1\n# pause\na;2024-01-02\n"
    (tmp_path / "x.csv").write_text(text)
    declared = TextFormat(delimiter=";", skip=1, units_rows=1, comment="#")
    with open_csv(tmp_path / "x.csv", choose, 0.5, declared) as file:
        found = list(rows(file))
    assert found[0][2:] == ("a", "2024-01-01", "1")
    assert found[1][:2] == ("malformed=8: 2 fields instead of 3", "a;2024-01-02")
    assert len(found) == 2


def test_file_without_header_is_read_by_declared_names(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbfa  2024-01-01   1\n b\t2024-01-02 2 \n")
    declared = TextFormat(delimiter="whitespace", header=("station", "time", "temp"))
    found, _ = read(tmp_path / "x.csv", 0, declared)
    assert found == [("a", "2024-01-01", "1"), ("b", "2024-01-02", "2")]


@pytest.mark.parametrize(("encoding", "broken"), [("cp1252", b"\x81"), ("utf-16-le", b"\x00\xd8"), ("utf-8", b"\xff")])
def test_line_that_cannot_be_decoded_is_set_aside(tmp_path: Path, encoding: str, broken: bytes) -> None:
    good = "München,2024-01-01,1,\n".encode(encoding)
    header = (",".join(HEADER) + "\n").encode(encoding)
    mark, rest = "x,2024-01-01,".encode(encoding), ",\n".encode(encoding)
    (tmp_path / "x.csv").write_bytes(header + good + mark + broken + rest + good * 20)
    with open_csv(tmp_path / "x.csv", choose, 0.05, TextFormat(encoding=encoding)) as file:
        found = list(rows(file))
    assert [row[0] for row in found if row[0]] == [f"malformed=3: it is not {encoding.upper()}"]
    assert {row[2] for row in found if not row[0]} == {"München"}
    assert len(found) == 22


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_undeclared_delimiter_is_named(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "x.csv").write_text(delimiter.join(HEADER) + "\n")
    with pytest.raises(CsvFault, match=r"declare source\.format\.delimiter"):
        read(tmp_path / "x.csv")


# Properties ----------------------------------------------------------------------------------------------------------

# Without carriage returns: csv.writer does not quote them, and then nobody knows what they are.
texts = st.one_of(
    st.sampled_from(["", "NA", "1.5", '"', '""', ",", "a,b", ' "x"', 'x"', "  ", "é", "\ufeff", "#", "\\"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"), max_size=6),
)
lines = st.lists(texts, min_size=1, max_size=3).map("\n".join)
endings = st.sampled_from(["\n", "\r\n"])
quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ambiguous(table: Sequence[Row]) -> bool:
    """Whether a record's lines could be records themselves: what such a table says nobody can know."""
    records = [written([row]).removesuffix("\n").split("\n")[1:] for row in table]
    return any(len(lines) > 1 and all(line.count(",") > 2 for line in lines) for lines in records)


@quick
@given(table=st.lists(st.tuples(lines, lines, lines, lines), max_size=8), ending=endings, block=st.integers(1, 80))
def test_written_csv_is_read_back(tmp_path: Path, table: list[Row], ending: str, block: int) -> None:
    assume(not ambiguous(table))
    (tmp_path / "x.csv").write_text(written(table, ending), newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_lines, "BLOCK", block)
        assert read(tmp_path / "x.csv", 0)[0] == table


@quick
@given(
    table=st.lists(st.tuples(texts, texts, texts, texts), max_size=8),
    ending=endings,
    block=st.integers(1, 80),
    marks=st.sampled_from([(",", '"'), (";", '"'), ("\t", "'"), ("|", '"'), (" ", "'"), (";", None)]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "gb18030"]),
    comment=st.sampled_from([None, "#"]),
)
def test_written_csv_is_read_back_in_any_format(
    tmp_path: Path,
    table: list[Row],
    ending: str,
    block: int,
    marks: tuple[str, str | None],
    encoding: str,
    comment: str | None,
) -> None:
    delimiter, quote = marks
    assume(quote or not any(delimiter in text for row in table for text in row))
    assume(not comment or not any(row[0].startswith(comment) for row in table))
    assume(any(text.strip(" \ufeff") for row in table for text in row) or not table)
    out = io.StringIO()
    how: dict[str, Any] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE, "quotechar": None}
    csv.writer(out, lineterminator=ending, delimiter=delimiter, **how).writerows([HEADER, *table])
    (tmp_path / "x.csv").write_bytes(out.getvalue().encode(encoding))
    declared = TextFormat(delimiter=delimiter, quote=quote, encoding=encoding, comment=comment)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_lines, "BLOCK", block)
        found, _ = read(tmp_path / "x.csv", 0, declared)
    wanted = [row for row in table if delimiter.join(row).strip() or quote]
    assert found == wanted


@st.composite
def damage(draw: st.DrawFn, data: bytes) -> tuple[bytes, int]:
    """The bytes with one removed or a mark inserted somewhere behind the header, and where."""
    head = data.index(b"\n") + 1
    place = draw(st.integers(head, len(data) - 2))
    inserted = draw(st.booleans())
    return data[:place] + (b'"' if inserted else b"") + data[place + (not inserted) :], place


@quick
@given(table=st.lists(st.tuples(texts, texts, texts, texts), min_size=2, max_size=8), ending=endings, data=st.data())
def test_damage_costs_only_its_own_record(tmp_path: Path, table: list[Row], ending: str, data: st.DataObject) -> None:
    """Of records of one line each; two are concerned where the break between them was lost."""
    damaged, place = data.draw(damage(written(table, ending).encode()))
    (tmp_path / "x.csv").write_bytes(damaged)
    ends = [len(written(table[:count], ending).encode()) for count in range(len(table) + 1)]
    own = next(i for i, end in enumerate(ends) if place < end) - 1
    found, _ = read(tmp_path / "x.csv", 1)
    lost = Counter(table[:own] + table[own + 1 :]) - Counter(found)
    broke = place in range(ends[own + 1] - len(ending), ends[own + 1])
    assert lost.total() <= broke
    assert len(found) >= len(table) - 1 - broke


@quick
@given(table=st.lists(st.tuples(texts, texts, texts, lines), min_size=2, max_size=8), data=st.data())
def test_no_record_is_lost_silently(tmp_path: Path, table: list[Row], data: st.DataObject) -> None:
    damaged, _ = data.draw(damage(written(table).encode()))
    (tmp_path / "x.csv").write_bytes(damaged)
    found, notes = read(tmp_path / "x.csv", 1)
    assert len(found) >= len(table) or notes


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_undeclared_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "x.csv").write_bytes("station,time,tempé\n".encode(encoding))
    with pytest.raises(CsvFault, match=r"source\.format\.encoding"):
        read(tmp_path / "x.csv")
