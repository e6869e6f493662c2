"""Guess whether texts are numbers, and how those are written: `1234.5`, `1.234,50 €`, `45 %`."""

from __future__ import annotations

import math
import unicodedata
from typing import Any, Literal, TypeAlias

import polars as pl

from tabloop.contract.columns import LARGEST_EXACT_INTEGER, IntegerColumn, NumberColumn
from tabloop.guessing.column_guess import ColumnGuess, CountedTexts, null_words

_WHOLE_NUMBER = r"^[+-]?\d+$"
_LEADING_ZERO = r"^[+-]?0\d"
_LARGEST_LIMIT = 1e300
#: Decimal and thousands mark, the likeliest first; a comma is a thousands mark where it can be one.
_Writing: TypeAlias = tuple[str, str | None]
_COMMA_IN_THOUSANDS: list[_Writing] = [(".", None), (".", ","), (",", None), (",", ".")]
_COMMA_IN_DECIMALS: list[_Writing] = [(".", None), (",", None), (",", "."), (".", ",")]
_SPACED: list[_Writing] = [(".", " "), (",", " "), (".", "'"), (",", "'")]
_MOST_AFFIXES = 4
#: What stands around numbers and is no part of a code.
_UNITS = frozenset(
    {"%", "‰", "°C", "°F", "R$", "US$", "kr", "zł", "Kč", "kg", "km", "cm", "mm"}
    | {"EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR", "BRL", "SEK", "NOK", "DKK", "PLN"}
)
_LOOKS_LIKE_A_NUMBER = r"^[^\p{L}\d]*\d[\d.,'’ \x{a0}\x{202f}]*[^\p{L}\d]*$"


def guess_number(
    name: str, found: CountedTexts, nullable: bool, nulls: tuple[str, ...], *, comma_is_decimal: bool
) -> ColumnGuess | None:
    """Guess a column of numbers.

    Parameters
    ----------
    name : str
        The column.
    found : CountedTexts
        The column's texts without those that mean null.
    nullable : bool
        Whether a value may be missing.
    nulls : tuple of str
        The texts that mean null.
    comma_is_decimal : bool
        Whether `1,234` is more likely little more than one, as where fields stand between semicolons.

    Returns
    -------
    guess : ColumnGuess or None
        None where the texts are no numbers, or codes that a number would mutilate.
    """
    affixes = _affixes(found.texts)
    for decimal, thousands in (_COMMA_IN_DECIMALS if comma_is_decimal else _COMMA_IN_THOUSANDS) + _SPACED:
        settings: dict[str, Any] = {}
        if decimal != ".":
            settings["decimal_mark"] = decimal
        if thousands is not None:
            settings["thousands_mark"] = thousands
        if affixes:
            settings["affixes"] = affixes
        column = NumberColumn.model_validate({"type": "number", **settings})
        plain = column.plain_series(found.texts)
        numbers = plain.cast(pl.Float64, strict=False)
        numbers = pl.DataFrame({"v": numbers, "m": numbers.is_finite()}).select(pl.when("m").then("v"))["v"]
        if found.are_nearly_all(numbers):
            return _with_writing(name, found, plain, numbers, nullable, nulls, settings)
    return None


def with_limits(
    name: str,
    kind: Literal["integer", "number"],
    numbers: pl.Series,
    seen: str = "",
    **settings: Any,
) -> ColumnGuess:
    """Set limits far outside what was seen, on both sides: a range is no summary of the data.

    That nothing was negative is no reason to refuse what is; whoever knows a reason writes `minimum: 0`.
    """
    values = numbers.to_numpy()
    low, high = values.min().item(), values.max().item()
    words = f"{_plain(low)} to {_plain(high)} seen"
    size = max(-low, high)
    limit: int | None = None if size >= _LARGEST_LIMIT else max(10, power_of_ten(10 * size))
    if kind == "integer":
        limit = LARGEST_EXACT_INTEGER if limit is None else min(limit, LARGEST_EXACT_INTEGER)
        lowest = -limit
        if (low, high) == (0, 1):
            lowest, limit, words = 0, 1, "only 0 and 1 seen"
        whole = IntegerColumn.model_validate(
            {"type": "integer", "minimum": lowest, "maximum": limit, **settings}
        )
        return ColumnGuess(name, whole, words + seen)
    limits = {} if limit is None else {"minimum": -float(limit), "maximum": float(limit)}
    number = NumberColumn.model_validate({"type": "number", **limits, **settings})
    return ColumnGuess(name, number, words + seen)


def looks_like_numbers(found: CountedTexts) -> str:
    """Say that most texts look like numbers, for a column that could not be read as any; empty where not."""
    alike = found.where(found.texts.str.contains(_LOOKS_LIKE_A_NUMBER))
    if alike.n_rows < 0.5 * found.n_rows:
        return ""
    others = found.where(~found.texts.str.contains(_LOOKS_LIKE_A_NUMBER))
    examples = [repr(text[:20]) for text in (*alike.texts.head(2), *others.texts.head(2))]
    return (
        f"; NOT UNDERSTOOD: {alike.n_rows:,} of {found.n_rows:,} rows look like numbers, but no way of "
        f"writing them fits all ({', '.join(examples)}): mend them, or set decimal_mark, thousands_mark"
    )


def is_exact(whole: pl.Series) -> bool:
    """Tell whether all are integers, as small as float64 can hold each."""
    return not whole.null_count() and bool(
        whole.is_between(-LARGEST_EXACT_INTEGER, LARGEST_EXACT_INTEGER).all()
    )


def has_leading_zeros(texts: pl.Series) -> bool:
    """Tell whether texts are digits, some after a zero: 01067 is a postcode, whose zero a number loses."""
    return bool(texts.str.contains(_LEADING_ZERO).any() and texts.str.contains(_WHOLE_NUMBER).all())


def power_of_ten(size: float) -> int:
    """Round up to a power of ten, at least ten."""
    # the logarithm of zero does not exist; a limit below ten is of no use either
    return int(10 ** math.ceil(math.log10(max(size, 10))))


def _with_writing(
    name: str,
    found: CountedTexts,
    plain: pl.Series,
    numbers: pl.Series,
    nullable: bool,
    nulls: tuple[str, ...],
    settings: dict[str, Any],
) -> ColumnGuess | None:
    is_number = numbers.is_not_null()
    texts = plain.filter(is_number)
    if not settings and has_leading_zeros(texts):
        return None
    seen = _writing_words(found.texts.filter(is_number), settings)
    seen += null_words(nulls) + found.rubbish_words(numbers, "number")
    settings |= {"nullable": nullable, "null_values": nulls}
    if texts.str.contains(_WHOLE_NUMBER).all():
        whole = texts.cast(pl.Int64, strict=False)
        if not is_exact(whole):
            return None  # float64 would round these ids
        return with_limits(name, "integer", whole, seen, **settings)
    return with_limits(name, "number", numbers.drop_nulls(), seen, **settings)


def _writing_words(texts: pl.Series, settings: dict[str, Any]) -> str:
    if not settings:
        return ""
    words = f", written as in {texts[0][:40]!r}"
    thousands, decimal = settings.get("thousands_mark"), settings.get("decimal_mark", ".")
    other = {"thousands_mark": None, "decimal_mark": ","} if thousands == "," and decimal == "." else None
    if other is not None and not texts.str.contains(".", literal=True).any():
        swapped = NumberColumn.model_validate({"type": "number", **settings, **other})
        if not swapped.plain_series(texts).null_count():
            words += (
                "; its commas could be decimal ones: then decimal_mark is ',' and there is no thousands_mark"
            )
    return words


def _affixes(texts: pl.Series) -> tuple[str, ...]:
    """Find what stands before and behind the digits, where it can be no part of a code."""
    before = texts.str.extract(r"^\s*[+-]?\s*([^\s\d.,+'’\-][^\d+\-]*?)\s*[+-]?[.,]?\d")
    behind = texts.str.extract(r"\d[.,]?\s*([^\s\d.,+'’\-][^\d]*?)\s*$")
    found = sorted({*before.drop_nulls().unique().head(20), *behind.drop_nulls().unique().head(20)})
    if not found or len(found) > _MOST_AFFIXES:
        return ()
    return tuple(found) if all(each in _UNITS or _is_currency(each) for each in found) else ()


def _is_currency(text: str) -> bool:
    return len(text) == 1 and unicodedata.category(text) == "Sc"


def _plain(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.6g}"
