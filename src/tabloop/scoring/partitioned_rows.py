"""A file whose folders say what some of its columns are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from tabloop.data.row_source import Chunk, RowSource


class PartitionedRows:
    """An opened source with further columns, of one value each; see `RowSource`.

    Parameters
    ----------
    rows : RowSource
        The source.
    values : mapping of str to str or None
        Text of each column that is added.
    """

    def __init__(self, rows: RowSource, values: Mapping[str, str | None]) -> None:
        self._rows, self._values = rows, values
        self.where, self.identity = rows.where, rows.identity
        self.columns = [*rows.columns, *values]
        self.extra, self.notes = rows.extra, rows.notes
        self.dtypes = None if rows.dtypes is None else [*rows.dtypes, *(pl.String() for _ in values)]

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order."""
        added = [pl.lit(value, dtype=pl.String).alias(name) for name, value in self._values.items()]
        for chunk in self._rows.chunks():
            frame = chunk.frame.with_columns(added)
            yield Chunk(frame, chunk.lines, chunk.malformed, chunk.malformed_reasons)

    @property
    def fraction_read(self) -> float | None:
        """Which fraction of the source has been read."""
        return self._rows.fraction_read

    @property
    def sha256(self) -> str:
        """SHA-256 of the source's content."""
        return self._rows.sha256

    def close(self) -> None:
        """Close the source."""
        self._rows.close()
