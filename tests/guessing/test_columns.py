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
from tabloop.guessing.column_guess import ColumnGuess
from tabloop.guessing.columns import guess_column


def guessed(values: Sequence[str | None], *, name: str = "x", n_rows: int = 200) -> ColumnGuess:
    """Guess a column that holds the values over and over, beside a target of every third row."""
    column = pl.Series([values[place % len(values)] for place in range(n_rows)], dtype=pl.String)
    return guess_column(name, column, pl.Series([place % 3 == 0 for place in range(n_rows)]))


COLUMNS: dict[str, tuple[list[str], Column]] = {
    "whole": (["1", "20", "400"], IntegerColumn(type="integer", minimum=-10_000, maximum=10_000)),
    "below_zero": (["-7", "3"], IntegerColumn(type="integer", minimum=-100, maximum=100)),
    "flag": (["0", "1"], IntegerColumn(type="integer", minimum=0, maximum=1)),
    "with_gaps": (
        ["1", "", "5", "NA"],
        IntegerColumn(type="integer", minimum=-100, maximum=100, nullable=True, null_values=("NA",)),
    ),
    "fraction": (["0.25", "1", "5e-1"], NumberColumn(type="number", minimum=-10, maximum=10)),
    "huge": (["1e301", "-2"], NumberColumn(type="number")),
    "odd_nulls": (
        ["1.5", "?", "nan", "None", "-", "3", "4"],
        NumberColumn(
            type="number", minimum=-100, maximum=100, nullable=True, null_values=("-", "?", "None", "nan")
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
    "account": ([f"C-{place * 7919 % 100_003:06}" for place in range(200)], "an id? (nearly) every row"),
    "when": (["2026-01-31", "2026-02-01T12:00:00Z"], "a moment, which a model would see as seconds"),
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


WRITTEN: dict[str, tuple[list[str], dict[str, object]]] = {
    "thousands": (["51,260.00", "1,234.5", "999"], {"thousands_mark": ","}),
    "whole_thousands": (["51,260", "1,234,567", "12"], {"thousands_mark": ","}),
    "decimal_comma": (["51,26", "3,5", "7"], {"decimal_mark": ","}),
    "german": (["51.260,00", "1.234.567,5", "3,25"], {"decimal_mark": ",", "thousands_mark": "."}),
    "french": (["51\u202f260,00", "1 234,5", "3,2"], {"decimal_mark": ",", "thousands_mark": " "}),
    "swiss": (["51'260.00", "1’234.5", "3.2"], {"thousands_mark": "'"}),
    "dollars": (["$51.26", "-$3.5", "$ 7"], {"affixes": ("$",)}),
    "euros": (
        ["1.234,56 €", "3,50 €", "-7,00 €"],
        {"decimal_mark": ",", "thousands_mark": ".", "affixes": ("€",)},
    ),
    "currencies": (["EUR 12.5", "USD 3", "$7"], {"affixes": ("$", "EUR", "USD")}),
    "percent": (["45%", "3.5 %", "-7%"], {"affixes": ("%",)}),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_numbers_in_clothes_are_numbers(name: str) -> None:
    texts, settings = WRITTEN[name]
    guess = guessed(texts)
    assert isinstance(guess.column, NumberColumn | IntegerColumn)
    assert guess.ignore is None
    assert {key: getattr(guess.column, key) for key in settings} == settings
    assert (
        guess.column.model_copy(update={"nullable": True}).read_series("x", pl.Series(texts))[0].null_count()
        == 0
    )
    assert "written as in" in guess.seen


def test_a_comma_that_could_be_a_decimal_one_is_said() -> None:
    assert "its commas could be decimal ones" in guessed(["1,234", "5,678"]).seen
    assert "could be decimal" not in guessed(["1,234", "5,678.5"]).seen
    between_semicolons = guess_column(
        "x",
        pl.Series(["1,234", "5,678"] * 20),
        pl.Series([True, False, False, True] * 10),
        comma_is_decimal=True,
    )
    assert between_semicolons.column is not None
    assert between_semicolons.column.model_dump()["decimal_mark"] == ","


@pytest.mark.parametrize(
    "texts",
    [["A12", "B13", "C7"], ["12a", "13b", "7c"], ["12-34", "13-35"], ["1.2.3", "1.2.4"], ["1,2,3", "4,5"]],
)
def test_codes_with_digits_are_no_numbers(texts: list[str]) -> None:
    assert isinstance(guessed(texts).column, CategoryColumn)


def test_what_looks_like_numbers_and_cannot_be_read_is_never_dropped_in_silence() -> None:
    texts = [
        f"({place * 37 % 1009 + 1000:,})" if place % 2 else f"{place * 37 % 1009 + 1000:,}"
        for place in range(200)
    ]
    guess = guessed(texts, name="amount")
    assert guess.ignore is None
    assert isinstance(guess.column, TextColumn)
    assert "NOT UNDERSTOOD: 200 of 200 rows look like numbers" in guess.seen


def test_distinct_texts_alone_are_no_id() -> None:
    words = [
        f"{'abcdefghij'[place % 10] * (place % 7 + 1)}_{place}_{'x' * (place % 13)}" for place in range(200)
    ]
    guess = guessed(words, name="remark")
    assert guess.ignore is None
    assert "no model uses a text" in guess.seen


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["2026-01-31", "2026-01-31T12:00:00Z"], "iso"),
        (["31.01.2026", "28.02.2026"], "day_first"),
        (["31/1/2026 13:45", "1/2/2026 07:00"], "day_first"),
        (["1/31/2026", "12/1/2025 1:45 PM"], "month_first"),
    ],
)
def test_dates_are_recognised_in_every_order(texts: list[str], order: str) -> None:
    guess = guessed(texts)
    assert isinstance(guess.column, TimestampColumn)
    assert guess.column.order == order
    assert "nothing tells" not in guess.seen
    assert guess.column.read_series("x", pl.Series(texts))[1] == []


def test_a_date_that_could_be_either_is_marked() -> None:
    guess = guessed(["01/02/2026", "03/04/2026"])
    assert "nothing tells day and month apart: `order: month_first` is the other reading" in guess.seen


def test_an_impossible_date_among_thousands_is_left_to_the_quarantine() -> None:
    days = [f"2024-{place % 12 + 1:02}-{place % 28 + 1:02}" for place in range(4999)]
    guess = guessed([*days, "2024-02-31"], n_rows=5000)
    assert isinstance(guess.column, TimestampColumn)
    assert "1 row such as '2024-02-31' is no date and will be refused" in guess.seen
    written = [f"{place % 28 + 1}.{place % 12 + 1}.2024" for place in range(4999)]
    assert isinstance(guessed([*written, "31.2.2024"], n_rows=5000).column, TimestampColumn)


def test_that_nothing_was_negative_is_no_reason_to_refuse_what_is() -> None:
    for texts in (["0", "5", "12"], ["0.5", "12.25"]):
        column = guessed(texts).column
        assert column is not None
        assert column.check_series("x", pl.Series(["-3"]))[1] == []


def test_codes_with_leading_zeros_say_what_would_use_them() -> None:
    guess = guessed([f"{place * 37:05}" for place in range(600)], name="zip", n_rows=600)
    assert isinstance(guess.column, TextColumn)
    assert "codes with leading zeros" in guess.seen
    assert "`{type: category, open: true}`" in guess.seen
