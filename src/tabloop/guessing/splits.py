"""Guess by what the rows of an unknown table may hang together: an id that repeats, a moment, a year."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from tabloop.contract.columns import IntegerColumn, TimestampColumn
from tabloop.guessing.column_guess import ColumnGuess
from tabloop.guessing.columns import is_id_name

# not in the plural: `accounts` or `devices` of a row are counted
_WHOSE = re.compile(
    r"(^|[\W_])(account|borrower|buyer|client|customer|device|employee|household|member|owner|patient|person|"
    r"player|pupil|seller|store|student|subject|user|vehicle)(id|no|nr|num|number|key|code)?$",
    re.IGNORECASE,
)
#: Names of ids, and of much else: what the rows of one value share has to bear them out.
_MAYBE_ID = re.compile(r"(^|[\W_])(nr|no|num|number|key|ident|pid|cid|uid|hhid|caseid)$", re.IGNORECASE)
_NO_MOMENT_OF_A_ROW = re.compile(
    r"birth|born|dob|built|build|construct|founded|grad|model|renov", re.IGNORECASE
)
_WHEN = re.compile(r"(^|[\W_])(year|yr|jahr|year_?month|yyyymm(dd)?|date|period)$", re.IGNORECASE)
_LEAST_GROUPS = 20
_MOST_GROUPS_A_ROW = 0.8
_LEAST_TIMES = 3
#: Rows of one value agree by chance alone where less speaks against it.
_LEAST_UNLIKE_ROWS = 20.0


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
        The rows as read.
    guesses : list of ColumnGuess
        The guesses of its columns, also of those that are better left out.

    Returns
    -------
    splits : tuple of SplitGuess
        Whether rows of one id are alike, or change with time, no column shows: these are questions.

    Notes
    -----
    A column is an id by its name, or by a name that it may have as an id (`nr`, `key`) and by what its rows
    share: another column is the same in all rows of each value, as sex and country are of one person, and
    yet changes from value to value, which bands of an age or of an amount do not.

    Examples
    --------
    >>> from tabloop.contract.columns import TextColumn
    >>> frame = pl.DataFrame({"user_id": [f"u{i % 30}" for i in range(90)]})
    >>> guess_splits(frame, [ColumnGuess("user_id", TextColumn(type="text"), "")])[0].setting
    {'kind': 'group', 'column': 'user_id'}
    """
    groups = [_guess_group(frame, guess) for guess in guesses]
    times = [_guess_time(frame, guess) for guess in guesses]
    return tuple(found for found in (*groups, *times) if found is not None)


def _guess_group(frame: pl.DataFrame, guess: ColumnGuess) -> SplitGuess | None:
    values = frame[guess.name]
    if not (values.dtype == pl.String or values.dtype.is_integer()):
        return None
    named = bool(is_id_name(guess.name) or _WHOSE.search(guess.name))
    if not named and not _MAYBE_ID.search(guess.name):
        return None
    present = values.drop_nulls()
    n_distinct = present.n_unique()
    if not _LEAST_GROUPS <= n_distinct <= _MOST_GROUPS_A_ROW * len(present):
        return None
    seen = f"{n_distinct:,} values in {len(present):,} rows"
    if not named:
        shared = _shared_column(frame, guess.name)
        if shared is None:
            return None
        seen += f", and the rows of one have the same {shared}"
    seen += f": if rows of one {guess.name} are alike, keep them together"
    if isinstance(guess.column, IntegerColumn) and guess.ignore is None:
        seen += ", and add `model: false` to its column"
    return SplitGuess({"kind": "group", "column": guess.name}, f"{seen} (docs/splits.md)")


def _shared_column(frame: pl.DataFrame, name: str) -> str | None:
    """Find a column that is the same in all rows of each value of another, and no function of its order."""
    rows = frame.filter(pl.col(name).is_not_null())
    order = pl.col(name).cast(pl.Float64, strict=False)
    for other in frame.columns:
        if other == name:
            continue
        of_value = rows.group_by(name).agg(pl.col(other).n_unique().alias("n"), pl.col(other).first())
        if of_value["n"].max() != 1:
            continue
        shares = rows[other].value_counts()["count"] / rows.height
        unlike = 1.0 - float((shares**2).sum())
        if (rows.height - of_value.height) * unlike < _LEAST_UNLIKE_ROWS:
            continue
        sorted_values = of_value.sort(order, name)[other]
        changes = int((sorted_values.rle_id()).max() or 0)  # type: ignore[arg-type]
        of_groups = of_value[other].value_counts()["count"] / of_value.height
        if 2 * changes >= (1.0 - float((of_groups**2).sum())) * (of_value.height - 1):
            return other
    return None


def _guess_time(frame: pl.DataFrame, guess: ColumnGuess) -> SplitGuess | None:
    if _NO_MOMENT_OF_A_ROW.search(guess.name):
        return None
    setting = {"kind": "time", "column": guess.name}
    if isinstance(guess.column, TimestampColumn):
        if guess.column.order != "iso":
            setting["order"] = guess.column.order
        seen = "a moment: if rows change with time, test on the latest ones (docs/splits.md)"
        return SplitGuess(setting, seen)
    if not (isinstance(guess.column, IntegerColumn) and guess.ignore is None and _WHEN.search(guess.name)):
        return None
    read = guess.column.read_series(guess.name, frame[guess.name])[0].drop_nulls()
    if read.n_unique() < _LEAST_TIMES or not _are_years(read):
        return None
    seen = (
        f"{read.min()!s} to {read.max()!s}: if rows change with time, test on the latest ones, and add "
        "`model: false` to its column (docs/splits.md)"
    )
    return SplitGuess(setting, seen)


def _are_years(whole: pl.Series) -> bool:
    """Tell whether all are written as 1987, 198705 or 19870531."""
    for unit in (1, 100, 10_000):
        if not (whole // unit).is_between(1900, 2100).all():
            continue
        month, day = whole // (unit // 100) % 100 if unit > 1 else None, whole % 100
        fits_month = month is None or bool(month.is_between(1, 12).all())
        return fits_month and (unit < 10_000 or bool(day.is_between(1, 31).all()))
    return False
