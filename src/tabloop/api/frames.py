"""Frames of pandas, Polars and Arrow: in as Polars, out as what they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from tabloop.contract.frame_series import series_of
from tabloop.data.row_source import Chunk
from tabloop.errors import DataError

#: How messages call a frame.
THE_FRAME = "the frame"

FrameKind = Literal["pandas", "polars", "arrow"]

#: What stands in a place that a frame or a file can take.
Table = Any


@dataclass(frozen=True)
class GivenFrame:
    """A frame that somebody handed in.

    Attributes
    ----------
    rows : polars.DataFrame with n_rows rows
        Its columns and values; what pandas calls missing is null.
    kind : {"pandas", "polars", "arrow"}
        What it was.
    index : object
        The rows' labels in pandas; None elsewhere.
    """

    rows: pl.DataFrame
    kind: FrameKind
    index: Any = None

    def answer(self, rows: pl.DataFrame) -> Any:
        """Give back rows that stand beside its own as a frame of the same kind, under the same labels."""
        return as_kind(rows, self.kind, self.index)


def is_path(table: Table) -> bool:
    """Tell whether a file is named where a frame can stand too."""
    return isinstance(table, str | Path)


def read_frame(frame: Table) -> GivenFrame:
    """Read a frame of any kind.

    Parameters
    ----------
    frame : pandas.DataFrame, polars.DataFrame, polars.LazyFrame or Arrow table
        An Arrow table is whatever has `__arrow_c_stream__`.

    Returns
    -------
    given : GivenFrame

    Raises
    ------
    DataError
        If it is no frame, or its columns have no names, the same name twice, or values without a common type;
        all problems in one message.

    Examples
    --------
    >>> import pandas as pd
    >>> given = read_frame(pd.DataFrame({"minutes": [1.5, None]}, index=["ann", "bo"]))
    >>> given.rows["minutes"].to_list()
    [1.5, None]
    >>> given.answer(pl.DataFrame({"probability": [0.1, 0.9]}))
         probability
    ann          0.1
    bo           0.9
    """
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pl.DataFrame):
        return GivenFrame(frame, "polars")
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):
        return GivenFrame(_rows_of_pandas(frame), "pandas", frame.index)
    if hasattr(frame, "__arrow_c_stream__") and hasattr(frame, "column_names"):
        return GivenFrame(pl.DataFrame(frame), "arrow")
    raise DataError(
        f"got {type(frame).__name__}, expected a pandas, Polars or Arrow frame, or the path of a table"
    )


def as_kind(rows: pl.DataFrame, kind: FrameKind, index: Any = None) -> Any:
    """Give rows as a frame of the kind that somebody works with."""
    if kind == "pandas":
        import pandas  # whoever asks for its frames has it installed; tabloop itself does without it

        return pandas.DataFrame({name: _values(rows[name]) for name in rows.columns}, index=index)
    return rows.to_arrow() if kind == "arrow" else rows


def _values(series: pl.Series) -> Any:
    return series.to_list() if series.dtype == pl.String or series.null_count() else series.to_numpy()


def _rows_of_pandas(frame: Any) -> pl.DataFrame:
    names = list(frame.columns)
    problems = [
        f"column {name!r}: its name is of type {type(name).__name__}, expected a text"
        for name in names
        if not isinstance(name, str)
    ]
    problems += [
        f"column {name}: stands there {names.count(name)} times"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    columns = {}
    for name in names if not problems else ():
        try:
            columns[name] = series_of(frame, name)
        except (TypeError, pl.exceptions.PolarsError) as error:
            problems.append(f"column {name}: {' '.join(str(error).split())}")
    if problems:
        raise DataError(f"{THE_FRAME} cannot be read:\n  " + "\n  ".join(problems))
    return pl.DataFrame(columns)


class FrameRows:
    """A frame as an opened source; see `tabloop.data.row_source.RowSource`.

    Parameters
    ----------
    rows : polars.DataFrame
        Its rows, which are counted from 1.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows = rows
        self.where = THE_FRAME
        self.identity: dict[str, str] = {}
        self.columns = rows.columns
        self.dtypes: list[pl.DataType] | None = rows.dtypes
        self.extra: tuple[str, ...] = ()
        self.notes: list[str] = []
        self.fraction_read: float | None = None
        self.sha256 = ""  # a frame is identified by the file that it is kept in

    def chunks(self) -> Iterator[Chunk]:
        """Give all rows."""
        yield Chunk(self._rows, np.arange(1, self._rows.height + 1))

    def close(self) -> None:
        """Nothing is held open."""
