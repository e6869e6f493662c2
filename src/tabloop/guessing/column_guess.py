"""What a guess of one column says, and the distinct texts it is made from."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from tabloop.contract.columns import Column, listing

#: A column of numbers or moments may hold this fraction of rubbish; those rows go into quarantine.
RUBBISH_FRACTION = 0.005
#: With fewer distinct values, a single one that does not fit makes all of them codes.
LEAST_AMONG_RUBBISH = 20


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
        The evidence for the guess, in words.
    ignore : str or None
        Why it is better left out, if it is.
    """

    name: str
    column: Column | None
    seen: str
    ignore: str | None = None


@dataclass(frozen=True)
class CountedTexts:
    """The distinct texts of a column and how many rows hold each."""

    texts: pl.Series
    rows: pl.Series

    @property
    def n_rows(self) -> int:
        """How many rows hold one of them."""
        return int(self.rows.sum())

    def where(self, mask: pl.Series) -> CountedTexts:
        """Keep some of the texts."""
        return CountedTexts(self.texts.filter(mask), self.rows.filter(mask))

    def are_nearly_all(self, read: pl.Series) -> bool:
        """Tell whether so few rows hold a text that was not read that the others say what the column is."""
        unread = self.where(read.is_null())
        if not unread.n_rows:
            return True
        few = unread.n_rows <= RUBBISH_FRACTION * self.n_rows
        return few and len(self.texts) >= LEAST_AMONG_RUBBISH

    def rubbish_words(self, read: pl.Series, kind: str) -> str:
        """Say which texts are left to the quarantine."""
        unread = self.where(read.is_null())
        if not unread.n_rows:
            return ""
        rows = "1 row" if unread.n_rows == 1 else f"{unread.n_rows:,} rows"
        is_no = f"is no {kind}" if unread.n_rows == 1 else f"are no {kind}"
        return (
            f"; {rows} such as {unread.texts[0][:40]!r} {is_no} and will be refused "
            "(null_values and nullable make them null)"
        )


def null_words(nulls: tuple[str, ...]) -> str:
    """Say which texts mean null."""
    return f", and {listing([repr(text) for text in nulls])} for null" if nulls else ""
