"""Guess what one column of an unknown table is: its type, limits and null strings, or that it is no use."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl

from tabloop.contract.columns import (
    BooleanColumn,
    CategoryColumn,
    Column,
    IntegerColumn,
    NumberColumn,
    TextColumn,
    TimestampColumn,
    listing,
)
from tabloop.contract.contract import name_problem
from tabloop.guessing.column_guess import ColumnGuess, CountedTexts, null_words
from tabloop.guessing.moments import LEFT_OUT, guess_moment
from tabloop.guessing.numbers import (
    guess_number,
    has_leading_zeros,
    is_exact,
    looks_like_numbers,
    power_of_ten,
    with_limits,
)

#: Beside numbers, moments or truth values these texts can only mean null; case does not count.
_NULLS = frozenset(
    {"na", "n/a", "#n/a", "n.a.", "<na>", "nan", "null", "none", "nil", "nat", "missing", "unknown"}
    | {"?", "??", "-", "--", "---", ".", "..", "#null!", "#div/0!", "#value!"}
    | {"inf", "-inf", "+inf", "infinity", "-infinity"}
)
#: Among other texts only these do: "None" or "unknown" may well be a category.
_CATEGORY_NULLS = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "?", "-", ".")
_TRUTH_PAIRS = (("true", "false"), ("yes", "no"), ("t", "f"), ("y", "n"))
_ID_NAME = re.compile(r"(^|[\W_])(id|ids|uuid|guid|index|idx|rownames?|row)$", re.IGNORECASE)
_CAMEL_ID_NAME = re.compile(r"[a-z](Id|ID|Uuid|UUID)$")

MOST_LISTED_CATEGORIES = 50
_MOST_CATEGORIES = 1000
_NEARLY_ALL = 0.9
_LONGEST_TEXT = 1_000_000


def guess_column(
    name: str, values: pl.Series, is_positive: pl.Series, *, comma_is_decimal: bool = False
) -> ColumnGuess:
    """Guess one column from its values.

    Parameters
    ----------
    name : str
        The column's name.
    values : polars.Series of length n_rows
        The values as read: text from a file without types.
    is_positive : polars.Series of bool, length n_rows
        The target; null where it is missing. A column that repeats it is a leak.
    comma_is_decimal : bool, default=False
        Whether `1,234` is more likely little more than one.

    Returns
    -------
    guess : ColumnGuess

    Examples
    --------
    >>> bought = pl.Series([True, False, False, True])
    >>> guess_column("age", pl.Series(["31", "?", "47", "31"]), bought).column
    IntegerColumn(nullable=True, null_values=('?',), ..., type='integer', minimum=-1000, maximum=1000)
    """
    if problem := name_problem(name):
        return ColumnGuess(name, None, "", problem)
    if values.dtype in (pl.Categorical, pl.Enum, pl.Null):
        values = values.cast(pl.String)
    if values.dtype.is_float():
        values = values.fill_nan(None)
    elif values.dtype == pl.String:
        values = _only_where(values != "", values)
    if values.null_count() == len(values):
        return ColumnGuess(name, None, "", "it is empty in every row")
    if values.dtype == pl.String:
        guess = _guess_texts(name, values, comma_is_decimal)
    else:
        guess = _guess_typed(name, values)
    if guess.column is None or guess.ignore is not None:
        return guess
    return _judge(guess, values, is_positive)


def _guess_typed(name: str, values: pl.Series) -> ColumnGuess:
    """Guess from the type that a Parquet file states."""
    dtype, nullable = values.dtype, values.null_count() > 0
    if dtype == pl.Boolean:
        return ColumnGuess(name, BooleanColumn(type="boolean", nullable=nullable), f"type {dtype}")
    if dtype in (pl.Datetime, pl.Date):
        moment = TimestampColumn(type="timestamp", nullable=nullable)
        return ColumnGuess(name, moment, f"type {dtype}", ignore=LEFT_OUT)
    if not dtype.is_numeric():
        return ColumnGuess(name, None, "", f"no column type holds {dtype}")
    present = values.drop_nulls()
    if dtype.is_integer():
        whole = present.cast(pl.Int64, strict=False)
        if is_exact(whole):
            return with_limits(name, "integer", whole, nullable=nullable)
    numbers = present.cast(pl.Float64)
    finite = numbers.filter(numbers.is_finite())
    if finite.is_empty():
        return ColumnGuess(name, None, "", "it holds no finite number")
    guess = with_limits(name, "number", finite, nullable=nullable)
    beyond = "an id? whole numbers beyond 2**53, which float64 would round"
    return replace(guess, ignore=beyond) if dtype.is_integer() else guess


def _guess_texts(name: str, values: pl.Series, comma_is_decimal: bool) -> ColumnGuess:
    counted = pl.DataFrame({"text": values.drop_nulls()}).group_by("text").len().sort("text")
    found = CountedTexts(counted["text"], counted["len"])
    is_null = found.texts.str.to_lowercase().is_in(list(_NULLS))
    nulls, others = tuple(found.texts.filter(is_null)), found.where(~is_null)
    nullable = bool(nulls) or values.null_count() > 0
    attempts: tuple[Callable[[], ColumnGuess | None], ...] = (
        lambda: _as_boolean(name, others, nullable, nulls),
        lambda: guess_number(name, others, nullable, nulls, comma_is_decimal=comma_is_decimal),
        lambda: guess_moment(name, others, nullable, nulls),
    )
    for attempt in attempts:
        guess = attempt() if len(others.texts) else None
        if guess is not None:
            return guess
    return _as_text(name, found, values.null_count() > 0)


def _as_boolean(name: str, found: CountedTexts, nullable: bool, nulls: tuple[str, ...]) -> ColumnGuess | None:
    if len(found.texts) > 8:
        return None
    lower = {text.casefold() for text in found.texts}
    for pair in _TRUTH_PAIRS:
        if lower == set(pair):
            options: dict[str, Any] = {}
            if pair != ("true", "false"):
                options = {"true_values": (pair[0],), "false_values": (pair[1],)}
            column = BooleanColumn(type="boolean", nullable=nullable, null_values=nulls, **options)
            return ColumnGuess(name, column, f"only {listing(list(found.texts))} seen{null_words(nulls)}")
    return None


def _as_text(name: str, found: CountedTexts, nullable: bool) -> ColumnGuess:
    n_distinct, longest = len(found.texts), int(found.texts.str.len_chars().max() or 0)  # type: ignore[arg-type]
    if longest > _LONGEST_TEXT:
        return ColumnGuess(name, None, "", f"it holds texts of up to {longest:,} characters")
    options: dict[str, Any] = {"nullable": nullable}
    if longest > 128:
        options["max_length"] = min(_LONGEST_TEXT, power_of_ten(4 * longest))
    n_present = found.n_rows
    few = n_distinct <= MOST_LISTED_CATEGORIES and n_distinct <= max(2, 0.5 * n_present)
    if not few and (n_distinct > _MOST_CATEGORIES or n_distinct > 0.1 * n_present):
        column: Column = TextColumn(type="text", **options)
        seen = f"{n_distinct:,} different texts in {n_present:,} rows"
        guess = ColumnGuess(name, column, seen + _text_words(found))
        if n_distinct >= _NEARLY_ALL * n_present and (is_id_name(name) or _have_one_shape(found.texts)):
            opened = CategoryColumn(type="category", open=True, **options)
            why = "an id? (nearly) every row has a text of its own, all of one shape"
            return replace(guess, column=opened, ignore=why)
        return guess
    nulls = tuple(text for text in _CATEGORY_NULLS if text in set(found.texts))
    others = [text for text in found.texts if text not in nulls]
    if "NA" in nulls and sum(len(text) == 2 and text.isupper() for text in others) >= max(2, len(others) / 2):
        nulls = tuple(text for text in nulls if text != "NA")  # among two-letter codes it means Namibia
        others = sorted([*others, "NA"])
    if not others:
        return ColumnGuess(name, None, "", f"it holds only {listing(nulls)}")
    listed = [text for text in others if "\0" not in text]
    if few and listed:
        options["categories"] = tuple(listed)
    options |= {"open": True, "nullable": nullable or bool(nulls), "null_values": nulls}
    seen = f"{len(others):,} different texts in {n_present:,} rows{null_words(nulls)}"
    seen += looks_like_numbers(found)
    return ColumnGuess(name, CategoryColumn(type="category", **options), seen)


def _text_words(found: CountedTexts) -> str:
    """Say that no model uses a text, and what would."""
    not_understood = looks_like_numbers(found)
    if has_leading_zeros(found.texts):
        return (
            "; codes with leading zeros, kept as texts that no model uses: `{type: category, open: true}` "
            "lets it use those that are common, `{type: integer}` reads them as numbers"
        )
    return (
        not_understood or "; no model uses a text, and `{type: category, open: true}` lets it use common ones"
    )


def is_id_name(name: str) -> bool:
    """Tell whether a column is called as ids are."""
    return bool(_ID_NAME.search(name) or _CAMEL_ID_NAME.search(name))


def _have_one_shape(texts: pl.Series) -> bool:
    """Tell whether nearly all texts are alike when every digit counts as one and every letter: `C-00017`."""
    if looks_like_numbers(CountedTexts(texts, pl.Series([1] * len(texts)))):
        return False
    shapes = texts.str.replace_all(r"[0-9A-Fa-f]", "0").str.replace_all(r"\p{L}", "a")
    commonest = shapes.value_counts(sort=True)["count"][0]
    return bool(commonest >= _NEARLY_ALL * len(texts) and texts.str.contains(r"\d").any())


def _judge(guess: ColumnGuess, values: pl.Series, is_positive: pl.Series) -> ColumnGuess:
    """Find out whether a column that can be read is of any use."""
    if guess.column is None:
        return guess
    name, column = guess.name, guess.column
    parsed, _ = column.check_series(name, values)
    table = pl.DataFrame({"value": parsed, "positive": is_positive})
    n_distinct = parsed.drop_nulls().n_unique()
    if n_distinct < 2:
        only = f"{parsed.drop_nulls().head(1).to_list()[0]!s:.60}" if n_distinct else "nothing readable"
        also = " or nothing" if n_distinct and parsed.null_count() else ""
        return replace(guess, ignore=f"it holds only {only}{also}")
    known = table.drop_nulls()
    pairs = known.unique().height
    mostly_known = known.height >= 0.5 * (len(is_positive) - is_positive.null_count())
    if n_distinct == 2 and pairs == 2 and known["positive"].n_unique() == 2 and mostly_known:
        return replace(guess, ignore="leak? its two values go one-to-one with the target's")
    n_present = len(parsed) - parsed.null_count()
    if isinstance(column, IntegerColumn) and n_distinct == len(parsed) >= 10:
        steps = parsed.diff().drop_nulls()
        span = int(parsed.max()) - int(parsed.min()) + 1  # type: ignore[arg-type]
        if span == len(parsed) or steps.n_unique() == 1:
            return replace(guess, ignore=f"an id? whole numbers in sequence, {_seen_range(parsed)}")
    if (
        not isinstance(column, NumberColumn | BooleanColumn)
        and n_distinct >= _NEARLY_ALL * n_present
        and is_id_name(name)
    ):
        return replace(guess, ignore="an id? by its name, and (nearly) every row has its own")
    if n_present >= 30 and not isinstance(column, TextColumn) and _separates(known, n_distinct, pairs):
        return replace(guess, seen=f"{guess.seen}; leak? by itself it separates the target's two values")
    return guess


def _separates(known: pl.DataFrame, n_distinct: int, pairs: int) -> bool:
    """Tell whether the target follows from the column: by its few values, or by one threshold."""
    if known["positive"].n_unique() < 2:
        return False
    if pairs == n_distinct <= 0.1 * known.height:
        return True
    if not known["value"].dtype.is_numeric():
        return False
    positive, negative = (known.filter(pl.col("positive") == side)["value"] for side in (True, False))
    return bool(positive.max() < negative.min() or negative.max() < positive.min())  # type: ignore[operator]


def _seen_range(parsed: pl.Series) -> str:
    return f"{parsed.min()!s} to {parsed.max()!s}"


def _only_where(mask: pl.Series, values: pl.Series) -> pl.Series:
    return pl.DataFrame({"v": values, "m": mask}).select(pl.when("m").then("v"))["v"]
