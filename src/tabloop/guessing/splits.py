"""Guess by what the rows of an unknown table may hang together: an id that repeats, a moment."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from tabloop.contract.columns import TimestampColumn
from tabloop.guessing.column_guess import ColumnGuess
from tabloop.guessing.columns import is_id_name

_WHOSE = re.compile(
    r"(^|[\W_])(account|borrower|buyer|client|customer|device|employee|household|member|owner|patient|person|"
    r"player|pupil|seller|store|student|subject|user|vehicle)(s|no|nr|num|number|key|code)?$",
    re.IGNORECASE,
)
_NO_MOMENT_OF_A_ROW = re.compile(r"birth|born|dob", re.IGNORECASE)
_LEAST_GROUPS = 20
_MOST_GROUPS_A_ROW = 0.8


@dataclass(frozen=True)
class SplitGuess:
    """A split that may fit.

    Attributes
    ----------
    setting : dict of str to str
        What `data.split` would say.
    seen : str
        What it was guessed from, and what it would mean.
    """

    setting: dict[str, str]
    seen: str


def guess_splits(frame: pl.DataFrame, guesses: list[ColumnGuess]) -> tuple[SplitGuess, ...]:
    """Propose splits by group and by time.

    Parameters
    ----------
    frame : polars.DataFrame with n_rows rows
        As read.
    guesses : list of ColumnGuess
        Of its columns, those that are better left out among them.

    Returns
    -------
    splits : tuple of SplitGuess
        Whether rows of one id are alike, or change with time, no column shows: these are questions.

    Examples
    --------
    >>> from tabloop.contract.columns import TextColumn
    >>> frame = pl.DataFrame({"user_id": [f"u{i % 30}" for i in range(90)]})
    >>> guess_splits(frame, [ColumnGuess("user_id", TextColumn(type="text"), "")])[0].setting
    {'kind': 'group', 'column': 'user_id'}
    """
    found = []
    for guess in guesses:
        values = frame[guess.name]
        if not (values.dtype == pl.String or values.dtype.is_integer()):
            continue
        present = values.drop_nulls()
        n_distinct = present.n_unique()
        named = is_id_name(guess.name) or _WHOSE.search(guess.name)
        if named and _LEAST_GROUPS <= n_distinct <= _MOST_GROUPS_A_ROW * len(present):
            seen = (
                f"{n_distinct:,} values in {len(present):,} rows: if rows of one {guess.name} are alike, "
                "keep them together (docs/splits.md)"
            )
            found.append(SplitGuess({"kind": "group", "column": guess.name}, seen))
    for guess in guesses:
        if isinstance(guess.column, TimestampColumn) and not _NO_MOMENT_OF_A_ROW.search(guess.name):
            seen = "a moment: if rows change with time, test on the latest ones (docs/splits.md)"
            setting = {"kind": "time", "column": guess.name}
            if guess.column.order != "iso":
                setting["order"] = guess.column.order
            found.append(SplitGuess(setting, seen))
    return tuple(found)
