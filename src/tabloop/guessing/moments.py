"""Guess whether texts are dates or moments, and in which order day and month stand."""

from __future__ import annotations

import polars as pl

from tabloop.contract.columns import TimestampColumn
from tabloop.guessing.column_guess import ColumnGuess, CountedTexts, null_words

#: A model would see seconds since 1970, which only grow: what it learned ends with its training rows.
LEFT_OUT = (
    "a moment, which a model would see as seconds since 1970: a year later every row lies beyond what it "
    "learned from; a formula can make something of it, as contract.columns shows"
)

_ISO = r"^\d{4}-\d{2}-\d{2}"
_WRITTEN = r"^\d{1,2}[./-]\d{1,2}[./-]\d{4}($|[ T,])"


def guess_moment(
    name: str, found: CountedTexts, nullable: bool, nulls: tuple[str, ...]
) -> ColumnGuess | None:
    """Guess a column of moments: the type is what nearly all values are.

    Parameters
    ----------
    name, found, nullable, nulls
        As for `guess_number`.

    Returns
    -------
    guess : ColumnGuess or None
        None where the texts are no moments.
    """
    settings: dict[str, object] = {"type": "timestamp", "nullable": True, "null_values": nulls}
    if found.are_nearly_all(_only(found.texts, _ISO)):
        read = _read(name, found, TimestampColumn.model_validate(settings))
        words = "ISO 8601"
    elif found.are_nearly_all(_only(found.texts, _WRITTEN)):
        orders = ("day_first", "month_first")
        reads = {
            each: _read(name, found, TimestampColumn.model_validate(settings | {"order": each}))
            for each in orders
        }
        rows = {each: found.where(reads[each].is_not_null()).n_rows for each in orders}
        order = settings["order"] = max(orders, key=lambda each: rows[each])
        read = reads[order]
        words = f"{order.replace('_', ' ')} as in {found.texts[0][:40]!r}"
        if rows["day_first"] == rows["month_first"]:
            words += ", though nothing tells day and month apart: `order: month_first` is the other reading"
    else:
        return None
    if not found.are_nearly_all(read):
        return None
    column = TimestampColumn.model_validate(settings | {"nullable": nullable})
    present = read.drop_nulls()
    seen = f"{words}, {present.min()!s} to {present.max()!s}{null_words(nulls)}"
    seen += found.rubbish_words(read, "date")
    return ColumnGuess(name, column, seen, ignore=f"{LEFT_OUT}; {seen}")


def _only(texts: pl.Series, pattern: str) -> pl.Series:
    matches = texts.str.contains(pattern)
    return pl.DataFrame({"v": texts, "m": matches}).select(pl.when("m").then("v"))["v"]


def _read(name: str, found: CountedTexts, column: TimestampColumn) -> pl.Series:
    return column.read_series(name, found.texts)[0]
