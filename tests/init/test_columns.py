from __future__ import annotations

import uuid
from collections.abc import Sequence

import polars as pl
import pytest

from tabloop.contract.columns import (
    BooleanColumn,
    CategoryColumn,
    Column,
    IntegerColumn,
    NumberColumn,
    TextColumn,
    TimestampColumn,
)
from tabloop.init.columns import ColumnGuess, guess_column


def guessed(values: Sequence[str | None], *, name: str = "x", n_rows: int = 200) -> ColumnGuess:
    """Guess a column that holds the values over and over, beside a target of every third row."""
    column = pl.Series([values[place % len(values)] for place in range(n_rows)], dtype=pl.String)
    return guess_column(name, column, pl.Series([place % 3 == 0 for place in range(n_rows)]))


COLUMNS: dict[str, tuple[list[str], Column]] = {
    "whole": (["1", "20", "400"], IntegerColumn(type="integer", minimum=0, maximum=10_000)),
    "below_zero": (["-7", "3"], IntegerColumn(type="integer", minimum=-100, maximum=100)),
    "flag": (["0", "1"], IntegerColumn(type="integer", minimum=0, maximum=1)),
    "with_gaps": (
        ["1", "", "5", "NA"],
        IntegerColumn(type="integer", minimum=0, maximum=100, nullable=True, null_values=("NA",)),
    ),
    "fraction": (["0.25", "1", "5e-1"], NumberColumn(type="number", minimum=0, maximum=10)),
    "huge": (["1e301", "-2"], NumberColumn(type="number")),
    "odd_nulls": (
        ["1.5", "?", "nan", "None", "-", "3", "4"],
        NumberColumn(
            type="number", minimum=0, maximum=100, nullable=True, null_values=("-", "?", "None", "nan")
        ),
    ),
    "truth": (["TRUE", "False"], BooleanColumn(type="boolean")),
    "yes_no": (
        ["Yes", "no", "yes"],
        BooleanColumn(type="boolean", true_values=("yes",), false_values=("no",)),
    ),
    "postcode": (
        ["01067", "10115", "80331"],
        CategoryColumn(type="category", categories=("01067", "10115", "80331"), open=True),
    ),
    "country": (
        ["NA", "DE", "FR", "US"],
        CategoryColumn(type="category", categories=("DE", "FR", "NA", "US"), open=True),
    ),
    "garage": (
        ["Attached", "NA", "None", "?"],
        CategoryColumn(
            type="category",
            categories=("Attached", "None"),
            open=True,
            nullable=True,
            null_values=("NA", "?"),
        ),
    ),
    "big_code": (
        ["9007199254740993", "9007199254740995"],
        CategoryColumn(type="category", categories=("9007199254740993", "9007199254740995"), open=True),
    ),
    "moment": (["2026-01-31", "2026-01-31T12:00:00Z"], TimestampColumn(type="timestamp")),
    "not_iso": (
        ["31.01.2026", "28.02.2026"],
        CategoryColumn(type="category", categories=("28.02.2026", "31.01.2026"), open=True),
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_types(name: str) -> None:
    values, expected = COLUMNS[name]
    guess = guessed(values)
    assert guess.column == expected
    assert guess.ignore is None


def test_long_tails_free_text_and_long_texts() -> None:
    city = guessed([f"city {place}" for place in range(70)], n_rows=1000)
    remark = guessed([f"customer {place} called and said nothing" for place in range(900)], n_rows=1000)
    novel = guessed(["x" * 300, "y" * 20])
    assert city.column == CategoryColumn(type="category", open=True)
    assert remark.column == TextColumn(type="text")
    assert isinstance(novel.column, CategoryColumn)
    assert novel.column.max_length == 10_000
    assert guessed(["x" * 1_000_001, "y"]).ignore == "it holds texts of up to 1,000,001 characters"


OF_NO_USE: dict[str, tuple[Sequence[str | None], str]] = {
    "": ([str(place) for place in range(7)], "a column needs a name"),
    "row": ([str(200 - place) for place in range(200)], "an id? whole numbers in sequence, 1 to 200"),
    "by_tens": ([str(place * 10) for place in range(200)], "an id? whole numbers in sequence, 0 to 1990"),
    "customerId": ([str(place * 7919 % 100_003) for place in range(200)], "an id? by its name"),
    "key": ([str(uuid.UUID(int=place * 2**77)) for place in range(200)], "an id? (nearly) every row"),
    "constant": (["a"], "it holds only a"),
    "constant_or_empty": (["5", "", "NA"], "it holds only 5 or nothing"),
    "no_value": (["NA", "?"], "it holds only NA, ?"),
    "empty": (["", None], "it is empty in every row"),
    "alive": (["yes", "no", "no"], "leak? its two values go one-to-one"),
    "status": (["2", "1", "1"], "leak? its two values go one-to-one"),
}


@pytest.mark.parametrize("name", OF_NO_USE)
def test_columns_of_no_use_are_ignored_with_the_reason(name: str) -> None:
    values, reason = OF_NO_USE[name]
    assert (guessed(values, name=name).ignore or "").startswith(reason)


def test_unique_numbers_may_well_be_measured() -> None:
    assert guessed([str(place * 7919 % 100_003) for place in range(200)], name="spread").ignore is None


@pytest.mark.parametrize("values", [["A", "B", "C"], ["5.5", "2", "1", "7", "3", "4"]])
def test_what_separates_the_classes_is_kept_with_a_warning(values: list[str]) -> None:
    guess = guessed(values)
    assert guess.ignore is None
    assert "leak? by itself it separates" in guess.seen


def test_a_few_values_that_repeat_the_target_by_chance_are_no_leak() -> None:
    values = [*("yes" if place % 3 == 0 else "no" for place in range(9)), *([""] * 191)]
    assert guessed(values).ignore is None


def test_a_little_rubbish_among_numbers_is_left_to_the_quarantine() -> None:
    guess = guessed([*(str(place) for place in range(499)), "n/k"], n_rows=1000)
    assert isinstance(guess.column, IntegerColumn)
    assert "2 rows such as 'n/k' are no number" in guess.seen
    codes = guessed([*(str(place) for place in range(9)), "A"], n_rows=1000)
    assert isinstance(codes.column, CategoryColumn)
