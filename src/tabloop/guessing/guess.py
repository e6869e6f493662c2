"""Infer a config.yaml from somebody else's table."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from tabloop.config.data import CsvSource, ParquetSource, Source
from tabloop.contract.columns import CategoryColumn, TextColumn, listing
from tabloop.contract.contract import name_problem
from tabloop.data.files.csv_header import column_names
from tabloop.data.open_source import open_file
from tabloop.data.row_source import MalformedRow
from tabloop.errors import DataError, TooFewRowsError, nearest_name
from tabloop.guessing.caps import min_category_rows_for
from tabloop.guessing.column_guess import ColumnGuess
from tabloop.guessing.columns import guess_column
from tabloop.guessing.layout import guess_csv_layout
from tabloop.guessing.splits import guess_splits
from tabloop.guessing.target import guess_target
from tabloop.guessing.write_config import ConfigDraft, render_config

#: More rows than these are not looked at.
MOST_ROWS = 1_000_000

_DEFAULT_QUARANTINE_FRACTION = 0.01
_DEFAULT_SPLITS = 5


@dataclass(frozen=True)
class InferredConfig:
    """A config.yaml and what is uncertain about it.

    Attributes
    ----------
    text : str
        The file, commented.
    rows : int
        The number of rows that were looked at.
    guesses : tuple of str
        What was guessed, as the comments in the file say it.
    """

    text: str
    rows: int
    guesses: tuple[str, ...]


@dataclass(frozen=True)
class _Table:
    source: Source
    frame: pl.DataFrame
    malformed_rows: int
    is_all: bool
    seen: str


def infer_config(
    file: Path, *, target: str, positive: str | None, config_folder: Path, header: bool = True
) -> InferredConfig:
    r"""Write a config.yaml for a table, every guess marked.

    The limits it sets are wide and the categories open, so the contract accepts the table it came from;
    how many rows it would refuse is counted, and `data.max_quarantine_fraction` follows from that.

    Parameters
    ----------
    file : pathlib.Path
        A delimited text file with a header, or Parquet where the name ends in .parquet or .pq.
    target : str
        The column to predict, with two values.
    positive : str or None
        The value that counts as 1; None for 1, true or yes, else the rarer one.
    header : bool, default=True
        Whether the first line of a text file names the columns; otherwise they are column_1, column_2, ...
    config_folder : pathlib.Path
        Where the config will stand; the table's path is written relative to it if it lies below.

    Returns
    -------
    inferred : InferredConfig

    Raises
    ------
    DataError
        If the file cannot be read or holds no row, a name stands twice, the target is not there or has
        not two values, `positive` is none of them, or no column is left to learn from.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     table = Path(folder) / "visits.csv"
    ...     _ = table.write_text("minutes;bought\n3,5;yes\n0;no\n12;no\n")
    ...     inferred = infer_config(table, target="bought", positive=None, config_folder=Path(folder))
    >>> print(next(line for line in inferred.text.splitlines() if "minutes:" in line).strip())
    minutes: {type: number, minimum: -1000, maximum: 1000, decimal_mark: ","}  # guessed: 0 to 12 seen, ...
    """
    table = _read(file, _path_in_config(file, config_folder), target.strip(), header)
    return _infer(table, str(file), file.name, target=target, positive=positive)


def name_targets(file: Path, *, header: bool = True) -> str:
    r"""List the columns of a table that may be the target: those of exactly two values, with these.

    Raises
    ------
    DataError
        If the file cannot be read or holds no row.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     table = Path(folder) / "visits.csv"
    ...     _ = table.write_text("minutes;sex;bought\n3;f;yes\n0;f;no\n12;m;no\n")
    ...     name_targets(table)
    "2 of 3 columns hold two values: 'bought' (yes, no), 'sex' (m, f)"
    """
    return _target_words(file.name, _read(file, file.name, "", header).frame)


def _target_words(file: str, frame: pl.DataFrame) -> str:
    """Name the columns of two values, those first that say which one is meant, such as yes and no."""
    likely: list[str] = []
    others: list[str] = []
    for name in frame.columns:
        try:
            found = guess_target(file, name, frame[name], None)
        except DataError:
            continue
        named = f"{name!r} ({found.positive[:20]}, {found.negative[:20]})"
        (likely if found.is_plain else others).append(named)
    named_columns = [*likely, *others]
    if not named_columns:
        columns = listing([repr(name) for name in frame.columns])
        return f"no column holds two values, as a target does; those are: {columns}"
    return (
        f"{len(named_columns)} of {len(frame.columns)} columns "
        f"{'holds' if len(named_columns) == 1 else 'hold'} two values: {listing(named_columns, most=20)}"
    )


def infer_config_of_frame(frame: pl.DataFrame, *, target: str, positive: str | None) -> InferredConfig:
    """Write a config.yaml for rows that stand in no file; see `infer_config`.

    Its `data.source` is to be set: it names a Parquet file that is not there.
    """
    where = "the frame"
    if frame.is_empty():
        raise TooFewRowsError(f"{where}: no rows; nothing can be inferred from it")
    source = ParquetSource(kind="parquet", path="frame.parquet")
    seen = "the rows were a frame and are in no file yet"
    table = _Table(source, frame.head(MOST_ROWS), 0, frame.height <= MOST_ROWS, seen)
    return _infer(table, where, where, target=target, positive=positive)


def _infer(table: _Table, file: str, title: str, *, target: str, positive: str | None) -> InferredConfig:
    frame, name = table.frame, _find_target(file, table, target)
    if problem := name_problem(name):
        raise DataError(f"{file}: the target {name!r}: {problem}")
    found = guess_target(file, name, frame[name], positive)
    comma_is_decimal = isinstance(table.source, CsvSource) and table.source.separator != ","
    guesses = [
        guess_column(column, frame[column], found.is_positive, comma_is_decimal=comma_is_decimal)
        for column in frame.columns
        if column != name
    ]
    guesses = _require_features(file, guesses)
    refused_rows = _count_refused(frame, guesses, found.is_positive) + table.malformed_rows
    n_rows = frame.height + table.malformed_rows
    quarantine_fraction, quarantine_seen = _quarantine_fraction(refused_rows, n_rows)
    rarer_rows = min(int(found.is_positive.sum()), int((~found.is_positive).sum()))
    n_splits = max(2, min(_DEFAULT_SPLITS, int(0.8 * rarer_rows) // 5))
    draft = ConfigDraft(
        file_name=title,
        rows=n_rows,
        is_all=table.is_all,
        source=table.source,
        source_seen=table.seen,
        target=name,
        positive=found.positive,
        negative=found.negative,
        prediction_name=_identifier(name),
        target_seen=found.seen,
        columns=tuple(guess for guess in guesses if guess.ignore is None),
        ignored=tuple(guess for guess in guesses if guess.ignore is not None),
        max_quarantine_fraction=quarantine_fraction,
        quarantine_seen=quarantine_seen,
        min_category_rows=min_category_rows_for(n_rows),
        n_splits=n_splits,
        split_guesses=guess_splits(frame, guesses),
        splits_seen=f"rows of the rarer class: {rarer_rows:,}" if n_splits < _DEFAULT_SPLITS else None,
    )
    text, marked = render_config(draft)
    return InferredConfig(text, n_rows, marked)


def _path_in_config(file: Path, config_folder: Path) -> str:
    path, folder = file.absolute(), config_folder.absolute()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def _read(file: Path, path: str, target: str, header: bool) -> _Table:
    if not file.exists():
        raise DataError(f"{file}: no such file; expected a table, CSV or Parquet")
    if not file.is_file():
        raise DataError(f"{file}: is no file; expected a table, CSV or Parquet")
    if file.stat().st_size == 0:
        raise DataError(f"{file}: the file is empty; expected a header line and rows")
    source: Source
    if file.suffix.lower() in (".parquet", ".pq"):
        source, seen = ParquetSource(kind="parquet", path=path), ""
    else:
        source, seen = guess_csv_layout(file, path=path, target=target, header=header)
    rows = open_file(source, file)
    frames, n_rows, malformed, is_all = [], 0, 0, True
    first_malformed: MalformedRow | None = None
    for chunk in rows.chunks():
        if n_rows >= MOST_ROWS:
            is_all = False
            break
        frames.append(chunk.frame)
        n_rows += chunk.frame.height
        malformed += len(chunk.malformed)
        first_malformed = first_malformed or next(iter(chunk.malformed), None)
    if malformed > n_rows > 0:
        raise DataError(
            f"{file}: {malformed:,} of {n_rows + malformed:,} lines cannot be read as rows of "
            f"{len(rows.columns)} fields, as the first line has; quote fields that hold the separator, or "
            "mend what stands above the header"
        )
    if n_rows == 0:
        what = "a header and no rows"
        if first_malformed is not None:
            what += f" that can be read ({malformed:,} refused, the first in line {first_malformed.line}: "
            what += f"got {first_malformed.got}, expected {first_malformed.expected})"
        raise TooFewRowsError(f"{file}: {what}; nothing can be inferred from it")
    frame = pl.concat(frames)
    if frame.height > MOST_ROWS:
        frame, is_all = frame.head(MOST_ROWS), False
    table = _Table(source, frame, malformed, is_all, seen)
    return table if isinstance(source, ParquetSource) else _without_padding(file, table, source)


def _without_padding(file: Path, table: _Table, source: CsvSource) -> _Table:
    """Find spaces around fields, which only the columns show."""
    frame, seen = table.frame, table.seen
    habits: dict[str, str | bool] = {}
    padded = frame.select((pl.all() != pl.all().str.strip_chars()).sum())
    n_padded = sum(padded.row(0)) + sum(name != name.strip() for name in frame.columns)
    if n_padded:
        habits["strip_spaces"] = True
        seen += f"; spaces around {n_padded:,} fields"
        names = [name.strip() for name in frame.columns]
        if len(set(names)) < len(names):
            habits["repeated_names"] = "number"
        stripping = source.model_copy(update=habits)
        frame = frame.with_columns(pl.all().str.strip_chars())
        frame.columns = column_names(names, stripping, file) if source.header else names
    return replace(table, source=source.model_copy(update=habits), frame=frame, seen=seen)


def _find_target(file: str, table: _Table, target: str) -> str:
    columns = table.frame.columns
    if not target.strip():
        raise DataError(f"{file}: --target is empty; expected one of {listing([repr(c) for c in columns])}")
    if target in columns:
        return target
    if isinstance(table.source, CsvSource) and table.source.strip_spaces and target.strip() in columns:
        return target.strip()
    near = next((c for c in columns if c.casefold() == target.casefold()), None)
    near = near or nearest_name(target, columns)
    hint = f"did you mean {near!r}?" if near else _target_words(file, table.frame)
    raise DataError(f"{file}: no column {target!r} to predict; {hint}")


def _require_features(file: str, guesses: list[ColumnGuess]) -> list[ColumnGuess]:
    """Make sure that a model has something to learn from, doubtful columns if there are no others."""
    if any(g.ignore is None and not isinstance(g.column, TextColumn) for g in guesses):
        return guesses
    rescued = []
    for guess in guesses:
        column = guess.column
        if isinstance(column, TextColumn):
            column = CategoryColumn.model_validate(
                {
                    "type": "category",
                    "open": True,
                    "nullable": column.nullable,
                    "max_length": column.max_length,
                }
            )
        is_useless = guess.ignore is not None and not guess.ignore.startswith(("an id?", "leak?", "a moment"))
        if column is None or is_useless:
            rescued.append(guess)
            continue
        seen = f"{guess.ignore or guess.seen}; kept, for there is nothing else to learn from"
        rescued.append(replace(guess, column=column, seen=seen, ignore=None))
    if any(guess.ignore is None for guess in rescued):
        return rescued
    reasons = [f"\n  column {guess.name!r}: {guess.ignore}" for guess in guesses]
    raise DataError(f"{file}: no column besides the target to learn from{''.join(reasons)}")


def _count_refused(frame: pl.DataFrame, guesses: list[ColumnGuess], is_positive: pl.Series) -> int:
    """Count the rows that the guessed contract refuses, so that the limit is measured."""
    refused = is_positive.is_null().to_numpy().copy()
    for guess in guesses:
        if guess.column is None or guess.ignore is not None:
            continue
        for problem in guess.column.check_series(guess.name, frame[guess.name])[1]:
            refused |= problem.rows
    return int(np.count_nonzero(refused))


def _quarantine_fraction(refused_rows: int, n_rows: int) -> tuple[float, str | None]:
    fraction = refused_rows / n_rows
    if fraction <= _DEFAULT_QUARANTINE_FRACTION:
        return _DEFAULT_QUARANTINE_FRACTION, None
    raised = min(1.0, math.ceil(fraction * 1.2 * 100) / 100)
    return raised, f"{refused_rows:,} of {n_rows:,} rows would be refused"


def _identifier(name: str) -> str:
    # casefold also writes ß as ss
    ascii_name = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z0-9]+", "_", ascii_name).strip("_")
    return f"_{plain}" if plain[:1].isdigit() else plain or "target"
