from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from tabloop.contract.columns import DatabaseColumn, IntegerColumn, NumberColumn, Refusal

MARKS = st.sampled_from(
    [
        (decimal, thousands)
        for decimal in ".,"
        for thousands in (None, ",", ".", " ", "'")
        if decimal != thousands
    ]
)
TEXTS = st.text("0123456789.,' \u00a0\u202f\u2019+-eE$%EUR\n", max_size=12)


@example((".", ","), "51,260.00", "number", False)
@example((".", ","), "$ -1,234", "integer", True)
@given(MARKS, TEXTS, st.sampled_from(["number", "integer"]), st.booleans())
def test_a_table_and_a_request_read_a_text_alike(
    marks: tuple[Any, Any], text: str, kind: str, nullable: bool
) -> None:
    settings: dict[str, Any] = {
        "type": kind, "decimal_mark": marks[0], "thousands_mark": marks[1], "affixes": ("$", "%", "EUR"),
        "nullable": nullable, "null_values": ("E",),
    }  # fmt: skip
    column = (NumberColumn if kind == "number" else IntegerColumn).model_validate(settings)
    parsed, problems = column.check_series("x", pl.Series([text]))
    read = column.json_reader()(text)
    if problems:
        assert isinstance(read, Refusal)
        assert read.code == problems[0].code
    else:
        assert read == parsed[0]


@given(st.integers(-(10**13), 10**13), MARKS)
def test_a_number_written_with_marks_is_that_number(hundredths: int, marks: tuple[Any, Any]) -> None:
    decimal, thousands = marks
    value = hundredths / 100
    text = f"{value:,.2f}" if thousands else f"{value:.2f}"
    written = text.translate(str.maketrans({",": thousands or "", ".": decimal}))
    column = NumberColumn(type="number", decimal_mark=decimal, thousands_mark=thousands, affixes=("$",))
    assert column.json_reader()(written) == value
    assert column.read_series("x", pl.Series([written]))[0][0] == value


def test_marks_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ValidationError, match="both ','"):
        NumberColumn(type="number", decimal_mark=",", thousands_mark=",")
    for affix in ("", " ", "1", "-", "a b", "x" * 17):
        with pytest.raises(ValidationError, match="affixes holds"):
            NumberColumn(type="number", affixes=(affix,))


def test_a_databases_texts_are_read_where_marks_are_set() -> None:
    found = DatabaseColumn("x", "VARCHAR(20)", "text")
    assert NumberColumn(type="number").compare(found).problem is not None
    fit = NumberColumn(type="number", thousands_mark=",").compare(found)
    assert fit.problem is None
    assert "are read as numbers" in fit.notes[0]
