"""What is put into SQL text stays what it was: a value or a name, and no more SQL."""

import duckdb
from hypothesis import given

from aerocast.common.sql import literal, quoted
from tests.factories.odd_texts import odd_texts


@given(odd_texts)
def test_literal_is_the_text(text: str) -> None:
    with duckdb.connect() as con:
        assert con.sql(f"SELECT {literal(text)}").fetchall() == [(text,)]


@given(odd_texts.filter(lambda text: text != "" and "\0" not in text))
def test_quoted_is_the_name(text: str) -> None:
    with duckdb.connect() as con:
        assert con.sql(f"SELECT 1 AS {quoted(text)}").columns == [text]
