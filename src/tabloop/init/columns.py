"""Guess what one column of an unknown table is: its type, limits and null strings, or that it is no use."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl

from tabloop.contract.columns import (
    LARGEST_EXACT_INTEGER,
    BooleanColumn,
    CategoryColumn,
    Column,
    IntegerColumn,
    NumberColumn,
    TextColumn,
    TimestampColumn,
    listing,
)

#: Where the other values are numbers, moments or truth values, these can only mean null (without case).
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
_WHOLE_NUMBER = r"^[+-]?\d+$"
_LEADING_ZERO = r"^[+-]?0\d"

MOST_LISTED_CATEGORIES = 50
_MOST_CATEGORIES = 1000
_NEARLY_ALL = 0.9
#: A column of numbers may hold this fraction of rubbish; those rows go into quarantine.
_RUBBISH_FRACTION = 0.005
_NUMBERS_AMONG_RUBBISH = 20
_LONGEST_TEXT = 1_000_000
_LARGEST_LIMIT = 1e300


@dataclass(frozen=True)
class ColumnGuess:
    """What a column seems to be.

    Attributes
    ----------
    name : str
        The column.
    column : Column or None
        Its contract; None when no contract can hold it.
    seen : str
        What that was guessed from.
    ignore : str or None
        Why it is better left out, if it is.
    """

    name: str
    column: Column | None
    seen: str
    ignore: str | None = None


@dataclass(frozen=True)
class _Values:
    """The distinct texts of a column and how many rows hold each."""

    texts: pl.Series
    rows: pl.Series

    @property
    def n_rows(self) -> int:
        return int(self.rows.sum())

    def where(self, mask: pl.Series) -> _Values:
        return _Values(self.texts.filter(mask), self.rows.filter(mask))


def guess_column(
    name: str, values: pl.Series, is_positive: pl.Series, *, decimal_comma: bool = False
) -> ColumnGuess:
    """Guess one column from its values.

    Parameters
    ----------
    name : str
        The column's name.
    values : polars.Series of length n_rows
        As read: text from a file without types.
    is_positive : polars.Series of bool, length n_rows
        The target; null where it is missing. A column that repeats it is a leak.
    decimal_comma : bool, default=False
        Whether numbers are written `3,5`.

    Returns
    -------
    guess : ColumnGuess

    Examples
    --------
    >>> bought = pl.Series([True, False, False, True])
    >>> guess_column("age", pl.Series(["31", "?", "47", "31"]), bought).column
    IntegerColumn(nullable=True, null_values=('?',), description='', type='integer', minimum=0, maximum=1000)
    """
    if not name.strip() or "\0" in name:
        return ColumnGuess(name, None, "", "a column needs a name")
    if values.dtype in (pl.Categorical, pl.Enum, pl.Null):
        values = values.cast(pl.String)
    if values.dtype.is_float():
        values = values.fill_nan(None)
    elif values.dtype == pl.String:
        values = _only_where(values != "", values)
    if values.null_count() == len(values):
        return ColumnGuess(name, None, "", "it is empty in every row")
    if values.dtype == pl.String:
        guess = _guess_texts(name, values, decimal_comma)
    else:
        guess = _guess_typed(name, values)
    if guess.column is None or guess.ignore is not None:
        return guess
    return _judge(guess, values, is_positive, decimal_comma)


def reads_as_decimal_comma(values: pl.Series) -> bool:
    """Tell whether a column of texts is one of numbers only when a comma is its decimal point.

    Examples
    --------
    >>> reads_as_decimal_comma(pl.Series(["3,5", "4", "NA"])), reads_as_decimal_comma(pl.Series(["1,2,3"]))
    (True, False)
    """
    texts = values.drop_nulls().unique()
    texts = texts.filter((texts != "") & ~texts.str.to_lowercase().is_in(list(_NULLS)))
    if texts.is_empty() or not texts.str.contains(",", literal=True).any():
        return False
    return bool(_as_number(texts, decimal_comma=True).is_not_null().all())


def _guess_typed(name: str, values: pl.Series) -> ColumnGuess:
    """Guess from the type that a Parquet file states."""
    dtype, nullable = values.dtype, values.null_count() > 0
    if dtype == pl.Boolean:
        return ColumnGuess(name, BooleanColumn(type="boolean", nullable=nullable), f"type {dtype}")
    if dtype in (pl.Datetime, pl.Date):
        return ColumnGuess(name, TimestampColumn(type="timestamp", nullable=nullable), f"type {dtype}")
    if not dtype.is_numeric():
        return ColumnGuess(name, None, "", f"no column type holds {dtype}")
    present = values.drop_nulls()
    if dtype.is_integer():
        whole = present.cast(pl.Int64, strict=False)
        if _is_exact(whole):
            return _with_limits(name, "integer", whole, nullable, ())
    numbers = present.cast(pl.Float64)
    finite = numbers.filter(numbers.is_finite())
    if finite.is_empty():
        return ColumnGuess(name, None, "", "it holds no finite number")
    guess = _with_limits(name, "number", finite, nullable, ())
    beyond = "an id? whole numbers beyond 2**53, which float64 would round"
    return replace(guess, ignore=beyond) if dtype.is_integer() else guess


def _guess_texts(name: str, values: pl.Series, decimal_comma: bool) -> ColumnGuess:
    counted = pl.DataFrame({"text": values.drop_nulls()}).group_by("text").len().sort("text")
    found = _Values(counted["text"], counted["len"])
    is_null = found.texts.str.to_lowercase().is_in(list(_NULLS))
    nulls, others = tuple(found.texts.filter(is_null)), found.where(~is_null)
    nullable = bool(nulls) or values.null_count() > 0
    attempts: tuple[Callable[[], ColumnGuess | None], ...] = (
        lambda: _as_boolean(name, others, nullable, nulls),
        lambda: _as_numbers(name, others, nullable, nulls, decimal_comma),
        lambda: _as_timestamp(name, others, nullable, nulls),
    )
    for attempt in attempts:
        guess = attempt() if len(others.texts) else None
        if guess is not None:
            return guess
    return _as_text(name, found, values.null_count() > 0)


def _as_boolean(name: str, found: _Values, nullable: bool, nulls: tuple[str, ...]) -> ColumnGuess | None:
    if len(found.texts) > 8:
        return None
    lower = {text.casefold() for text in found.texts}
    for pair in _TRUTH_PAIRS:
        if lower == set(pair):
            options: dict[str, Any] = {}
            if pair != ("true", "false"):
                options = {"true_values": (pair[0],), "false_values": (pair[1],)}
            column = BooleanColumn(type="boolean", nullable=nullable, null_values=nulls, **options)
            return ColumnGuess(name, column, f"only {listing(list(found.texts))} seen{_also(nulls)}")
    return None


def _as_numbers(
    name: str, found: _Values, nullable: bool, nulls: tuple[str, ...], decimal_comma: bool
) -> ColumnGuess | None:
    numbers = _as_number(found.texts, decimal_comma=decimal_comma)
    if numbers.null_count() and len(numbers) < _NUMBERS_AMONG_RUBBISH:
        return None  # codes, some of them digits
    rubbish = found.where(numbers.is_null())
    if rubbish.n_rows > _RUBBISH_FRACTION * found.n_rows:
        return None
    texts, numbers = found.texts.filter(numbers.is_not_null()), numbers.drop_nulls()
    if texts.str.contains(_LEADING_ZERO).any() and texts.str.contains(_WHOLE_NUMBER).all():
        return None  # 01067 is a postcode: a number would lose its zero
    seen = _also(nulls)
    if rubbish.n_rows:
        seen += (
            f"; {rubbish.n_rows:,} rows such as {rubbish.texts[0][:40]!r} are no number and will be refused"
        )
    if texts.str.contains(_WHOLE_NUMBER).all():
        whole = texts.cast(pl.Int64, strict=False)
        if not _is_exact(whole):
            return None  # float64 would round these ids
        return _with_limits(name, "integer", whole, nullable, nulls, seen)
    return _with_limits(name, "number", numbers, nullable, nulls, seen)


def _as_timestamp(name: str, found: _Values, nullable: bool, nulls: tuple[str, ...]) -> ColumnGuess | None:
    if not found.texts.str.contains(r"^\d{4}-\d{2}-\d{2}").all():
        return None
    column = TimestampColumn(type="timestamp", nullable=nullable, null_values=nulls)
    moments, problems = column.model_copy(update={"nullable": True}).check_series(name, found.texts)
    if problems:
        return None
    return ColumnGuess(name, column, f"ISO 8601, {_seen_range(moments)}{_also(nulls)}")


def _as_text(name: str, found: _Values, nullable: bool) -> ColumnGuess:
    n_distinct, longest = len(found.texts), int(found.texts.str.len_chars().max() or 0)  # type: ignore[arg-type]
    if longest > _LONGEST_TEXT:
        return ColumnGuess(name, None, "", f"it holds texts of up to {longest:,} characters")
    options: dict[str, Any] = {"nullable": nullable}
    if longest > 128:
        options["max_length"] = min(_LONGEST_TEXT, _power_of_ten(4 * longest))
    n_present = found.n_rows
    few = n_distinct <= MOST_LISTED_CATEGORIES and n_distinct <= max(2, 0.5 * n_present)
    if not few and (n_distinct > _MOST_CATEGORIES or n_distinct > 0.1 * n_present):
        column: Column = TextColumn(type="text", **options)
        guess = ColumnGuess(name, column, f"{n_distinct:,} different texts in {n_present:,} rows")
        with_spaces = found.texts.str.contains(" ", literal=True).sum()
        if n_distinct >= _NEARLY_ALL * n_present and with_spaces < 0.5 * n_distinct:
            opened = CategoryColumn(type="category", open=True, **options)
            return replace(guess, column=opened, ignore="an id? (nearly) every row has a text of its own")
        return guess
    nulls = tuple(text for text in _CATEGORY_NULLS if text in set(found.texts))
    others = [text for text in found.texts if text not in nulls]
    if "NA" in nulls and sum(len(text) == 2 and text.isupper() for text in others) >= max(2, len(others) / 2):
        nulls = tuple(text for text in nulls if text != "NA")  # Namibia among two-letter codes
        others = sorted([*others, "NA"])
    if not others:
        return ColumnGuess(name, None, "", f"it holds only {listing(nulls)}")
    listed = [text for text in others if "\0" not in text]
    if few and listed:
        options["categories"] = tuple(listed)
    options |= {"open": True, "nullable": nullable or bool(nulls), "null_values": nulls}
    seen = f"{len(others):,} different texts in {n_present:,} rows{_also(nulls)}"
    return ColumnGuess(name, CategoryColumn(type="category", **options), seen)


def _judge(guess: ColumnGuess, values: pl.Series, is_positive: pl.Series, decimal_comma: bool) -> ColumnGuess:
    """Find out whether a column that can be read is of any use."""
    if guess.column is None:
        return guess
    name, column = guess.name, guess.column
    if decimal_comma and isinstance(column, NumberColumn):
        values = values.str.replace(",", ".", literal=True)
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
        and (_ID_NAME.search(name) or _CAMEL_ID_NAME.search(name))
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


def _with_limits(
    name: str,
    kind: Literal["integer", "number"],
    numbers: pl.Series,
    nullable: bool,
    nulls: tuple[str, ...],
    also: str = "",
) -> ColumnGuess:
    """Set limits far outside what was seen: a range is a physical limit, not a summary of the data."""
    values = numbers.to_numpy()
    low, high = values.min().item(), values.max().item()
    seen = f"{_plain(low)} to {_plain(high)} seen"
    size = max(-low, high)
    limit: int | None = None if size >= _LARGEST_LIMIT else max(10, _power_of_ten(10 * size))
    options: dict[str, Any] = {"nullable": nullable, "null_values": nulls}
    if kind == "integer":
        limit = LARGEST_EXACT_INTEGER if limit is None else min(limit, LARGEST_EXACT_INTEGER)
        if (low, high) == (0, 1):
            limit, seen = 1, "only 0 and 1 seen"
        minimum = 0 if low >= 0 else -limit
        whole = IntegerColumn(type="integer", minimum=minimum, maximum=limit, **options)
        return ColumnGuess(name, whole, seen + also)
    smallest = 0.0 if low >= 0 else (None if limit is None else -float(limit))
    largest = None if limit is None else float(limit)
    number = NumberColumn(type="number", minimum=smallest, maximum=largest, **options)
    return ColumnGuess(name, number, seen + also)


def _as_number(texts: pl.Series, *, decimal_comma: bool) -> pl.Series:
    """Read texts as finite float64; null where a text is none."""
    if decimal_comma:
        texts = texts.str.replace(",", ".", literal=True)
    numbers = texts.cast(pl.Float64, strict=False)
    return _only_where(numbers.is_finite(), numbers)


def _is_exact(whole: pl.Series) -> bool:
    """Tell whether all are integers, as small as float64 can hold each."""
    return not whole.null_count() and bool(
        whole.is_between(-LARGEST_EXACT_INTEGER, LARGEST_EXACT_INTEGER).all()
    )


def _power_of_ten(size: float) -> int:
    # the logarithm of zero does not exist; a limit below ten is of no use either
    return int(10 ** math.ceil(math.log10(max(size, 10))))


def _seen_range(parsed: pl.Series) -> str:
    return f"{parsed.min()!s} to {parsed.max()!s}"


def _plain(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.6g}"


def _also(nulls: tuple[str, ...]) -> str:
    return f", and {listing([repr(text) for text in nulls])} for null" if nulls else ""


def _only_where(mask: pl.Series, values: pl.Series) -> pl.Series:
    return pl.DataFrame({"v": values, "m": mask}).select(pl.when("m").then("v"))["v"]
