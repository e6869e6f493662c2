"""What every source of rows looks like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class MalformedRow:
    """A line that cannot be put into columns.

    Attributes
    ----------
    line : int
        The number of the line.
    reason : str
        `fields`, `quotes` or `length`: there are too many or too few fields, quotes that do not fit, or too
        many characters.
    got, expected : object and str
        The value that was got, and what was expected.
    fields : list of str
        What it says; the beginning where it is too long.
    """

    line: int
    reason: str
    got: int | str
    expected: str
    fields: list[str]


@dataclass(frozen=True)
class Chunk:
    """Some rows of a source, as read.

    Attributes
    ----------
    frame : polars.DataFrame with n_rows rows
        The source's columns; all text where the source has no types.
    lines : ndarray of int, shape (n_rows,)
        Where each row stands: the line of a text file, the row number (from 1) of a table.
    malformed : list of MalformedRow
        Rows that could not be put into columns, in order; of very many in a file, the first.
    malformed_reasons : dict of str to int
        How many rows could not be, described or not, by reason.
    """

    frame: pl.DataFrame
    lines: NDArray[np.int64]
    malformed: list[MalformedRow] = field(default_factory=list)
    malformed_reasons: dict[str, int] = field(default_factory=dict)


class RowSource(Protocol):
    """An opened source, read once from front to back in bounded memory."""

    #: What to call it in messages.
    where: str
    #: What tells it from other sources, for the lineage: a path, or a database and a table; no secrets.
    identity: dict[str, str]
    columns: list[str]
    #: Those of them that are read besides the contract's, such as keys.
    extra: tuple[str, ...]
    #: The columns' types, or None where the source holds text only.
    dtypes: list[pl.DataType] | None
    #: What is worth knowing about how its values are read.
    notes: list[str]

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order."""
        ...

    @property
    def fraction_read(self) -> float | None:
        """Which fraction of the source has been read; None where its size is not known."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of the full content, once every chunk was read."""
        ...

    def close(self) -> None:
        """Close whatever file or connection the source holds open."""
        ...
