"""Rows of a delimited text file: Polars where the layout is plain, the csv module where it is not."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from tabloop.config.data import CsvSource, ReadingLimits
from tabloop.data.files.csv_header import column_names
from tabloop.data.files.text_lines import SHOWN_CHARACTERS, TextBlock, TextLines
from tabloop.data.row_source import Chunk, MalformedRow
from tabloop.errors import DataError

# the lines are limited, and a field is never longer than its line; the module's own limit is 131,072
csv.field_size_limit(2**31 - 1)

_QUOTES_EXPECTED = 'quotes in pairs; one inside a quoted field is written ""'


class CsvRows:
    """An opened delimited file; every line is a row, a malformed row, a comment or blank.

    Parameters
    ----------
    source : CsvSource
        How the file is written.
    path : pathlib.Path
        The file.
    limits : ReadingLimits, optional
        What is too much.

    Raises
    ------
    DataError
        If there is no such file, it is empty, its beginning is not in the encoding, or its header cannot be
        used: it has too many columns, or one name twice.

    Notes
    -----
    Polars fills a short row with nulls in silence, so the fields of every line are counted first. A block
    without a quote is counted on its bytes and parsed by Polars. In a block with quotes a line break may be
    part of a field: there each record is read on its own, by the csv module where it has a quote. A record
    whose quotes do not fit is one malformed row of one line, and reading goes on at the next line, so that a
    quote that never closes costs its own line and no other.
    """

    def __init__(self, source: CsvSource, path: Path, limits: ReadingLimits | None = None) -> None:
        self.path = path
        self.where = str(path)
        self.identity = {"path": str(path)}
        self.notes: list[str] = []
        self.extra: tuple[str, ...] = ()
        self.dtypes: list[pl.DataType] | None = None
        self._source = source
        self._limits = limits or ReadingLimits()
        self._lines = TextLines(path, source.encoding, self._limits.line_characters)
        self._left_to_describe = 0
        rows = _Rows(self._lines.blocks())
        header = self._first_record(rows)
        if len(header) > self._limits.columns:
            raise DataError(
                f"{path}: the first line has {len(header):,} fields; data.limits.columns allows "
                f"{self._limits.columns:,}"
            )
        self.columns = column_names(header, source, path)
        self._require_no_comment(header, rows)

    @property
    def fraction_read(self) -> float | None:
        """How much of the file the chunks so far took."""
        return self._lines.fraction_read

    def close(self) -> None:
        """Nothing is held open between chunks."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, once every chunk was read."""
        return self._lines.sha256

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order, as text."""
        self._left_to_describe = self._limits.quarantine_rows
        rows = _Rows(self._lines.blocks())
        self._first_record(rows, stay=not self._source.header)
        while rows.fill():
            if '"' in rows.text():
                yield self._quoted_chunk(rows)
            else:
                yield self._plain_chunk(rows)

    def _first_record(self, rows: _Rows, *, stay: bool = False) -> list[str]:
        """Read the first line that is neither blank nor a comment nor Excel's `sep=`; go past it or stay."""
        while rows.fill():
            line = rows.line()
            if rows.number == 1 and line.lower().startswith("sep=") and len(line) == len("sep=x"):
                if line[-1] != self._source.separator:
                    raise DataError(
                        f"{self.path}: the first line says that {line[-1]!r} stands between fields; "
                        f"data.source.separator is {self._source.separator!r}"
                    )
            elif line and not self._is_comment(line):
                break
            rows.skip(1)
        else:
            raise DataError(f"{self.path}: the file is empty; expected a header line and rows")
        if rows.number in rows.too_long:
            raise DataError(
                f"{self.path}, line {rows.number}: {rows.too_long[rows.number]:,} characters; "
                f"data.limits.line_characters allows {self._limits.line_characters:,}. Is it a table?"
            )
        record, n_lines = self._record(rows)
        if record is None:
            raise DataError(
                f"{self.path}, line {rows.number}: not readable as CSV: {line[:SHOWN_CHARACTERS]!r}; "
                f"expected {_QUOTES_EXPECTED}"
            )
        if not stay:
            rows.skip(n_lines)
        return record

    def _is_comment(self, line: str) -> bool:
        return self._source.comment is not None and line.startswith(self._source.comment)

    def _require_no_comment(self, header: list[str], rows: _Rows) -> None:
        """Raise where the first line looks like a comment that nobody has declared."""
        if self._source.comment is None and header[0].startswith("#") and rows.fill():
            record, _ = self._record(rows)
            if record is not None and len(record) != len(header):
                raise DataError(
                    f"{self.path}: the first line begins with # and has {len(header)} fields, the next has "
                    f"{len(record)}; data.source.comment: '#' leaves such lines out"
                )

    def _record(self, rows: _Rows) -> tuple[list[str] | None, int]:
        """Read the record that begins here; give its fields, or None, and how many lines it takes."""
        line = rows.line()
        if '"' not in line:
            return line.split(self._source.separator), 1
        n_lines = 0

        def lines() -> Iterator[str]:
            nonlocal n_lines
            characters = 0
            for each in rows.ahead():
                characters += len(each)
                if characters > self._limits.line_characters + 1:  # with the line feed at its end
                    return
                n_lines += 1
                yield each

        reader = csv.reader(
            lines(),
            delimiter=self._source.separator,
            skipinitialspace=self._source.strip_spaces,
            strict=True,
        )
        try:
            return next(reader), n_lines
        except csv.Error:
            return None, 1

    def _plain_chunk(self, rows: _Rows) -> Chunk:
        """Read a block without quotes: count its bytes, and hand what is right to Polars."""
        content = rows.text().encode()
        raw = np.frombuffer(content, dtype=np.uint8)
        ends = np.flatnonzero(raw == 0x0A)
        starts = np.concatenate([[0], ends[:-1] + 1])
        separators = np.flatnonzero(raw == ord(self._source.separator))
        fields = np.diff(np.searchsorted(separators, ends), prepend=0) + 1
        lines = rows.number + np.arange(len(ends))
        left_out = starts == ends
        if self._source.comment is not None:
            mark = self._source.comment.encode()
            left_out |= np.logical_and.reduce(
                [raw[np.minimum(starts + place, len(raw) - 1)] == byte for place, byte in enumerate(mark)]
            )
        too_long = np.isin(lines, list(rows.too_long))
        wrong = ((fields != len(self.columns)) | too_long) & ~left_out
        good = ~wrong & ~left_out
        malformed = _Malformed(self._left_to_describe)
        for place in islice(np.flatnonzero(wrong), malformed.left):
            line = content[starts[place] : ends[place]].decode()
            malformed.add(self._malformed(int(lines[place]), line, rows.too_long))
        n_long = int(np.count_nonzero(too_long & wrong))
        malformed.count("length", n_long)
        malformed.count("fields", int(np.count_nonzero(wrong)) - n_long)
        if not good.all():
            content = raw[np.repeat(good, np.diff(ends, prepend=-1))].tobytes()
        rows.clear()
        self._left_to_describe = malformed.left
        return Chunk(self._frame_of_bytes(content), lines[good], malformed.rows, malformed.reasons)

    def _frame_of_bytes(self, content: bytes) -> pl.DataFrame:
        if not content:
            return pl.DataFrame(schema=dict.fromkeys(self.columns, pl.String))
        # Polars takes the mark for that of the file, and leaves it out: a row before it keeps it a character
        guarded = content.startswith(codecs.BOM_UTF8)
        guard = b"x" + self._source.separator.encode() * (len(self.columns) - 1) + b"\n" if guarded else b""
        frame = pl.read_csv(
            guard + content,
            has_header=False,
            new_columns=self.columns,
            separator=self._source.separator,
            quote_char=None,
            infer_schema=False,
        )
        return self._stripped(frame[1:] if guarded else frame)

    def _quoted_chunk(self, rows: _Rows) -> Chunk:
        """Read a block with quotes record by record; the last may take lines of the next block."""
        records: list[list[str]] = []
        lines: list[int] = []
        malformed = _Malformed(self._left_to_describe)
        end = rows.taken + rows.left
        while rows.taken < end:
            line, number = rows.line(), rows.number
            if not line or self._is_comment(line):
                rows.skip(1)
                continue
            record, n_lines = (None, 1) if number in rows.too_long else self._record(rows)
            if record is not None and len(record) == len(self.columns):
                records.append(record)
                lines.append(number)
            else:
                row = self._malformed(number, line, rows.too_long, record)
                malformed.count(row.reason, 1)
                malformed.add(row)
            rows.skip(n_lines)
        self._left_to_describe = malformed.left
        columns = zip(*records, strict=True) if records else [()] * len(self.columns)
        frame = pl.DataFrame(
            dict(zip(self.columns, columns, strict=True)), schema=dict.fromkeys(self.columns, pl.String)
        )
        found = np.array(lines, dtype=np.int64)
        return Chunk(self._stripped(frame), found, malformed.rows, malformed.reasons)

    def _malformed(
        self, number: int, line: str, too_long: dict[int, int], record: list[str] | None = None
    ) -> MalformedRow:
        """Say what is wrong with a line that is no row."""
        if number in too_long:
            most = self._limits.line_characters
            expected = f"at most {most:,} characters (data.limits.line_characters)"
            return MalformedRow(number, "length", too_long[number], expected, [line])
        if record is None and '"' in line:
            return MalformedRow(number, "quotes", line[:SHOWN_CHARACTERS], _QUOTES_EXPECTED, [line])
        fields = line.split(self._source.separator) if record is None else record
        return MalformedRow(number, "fields", len(fields), f"{len(self.columns)} fields", fields)

    def _stripped(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Leave spaces out, if asked to; an empty field is null, quoted or not."""
        if self._source.strip_spaces:
            frame = frame.with_columns(pl.all().str.strip_chars())
        return frame.with_columns(pl.when(pl.all() != "").then(pl.all()))


class _Malformed:
    """Malformed rows: the first `left` described, all of them counted."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.rows: list[MalformedRow] = []
        self.reasons: dict[str, int] = {}

    def add(self, row: MalformedRow) -> None:
        if self.left:
            self.left -= 1
            self.rows.append(row)

    def count(self, reason: str, n_rows: int) -> None:
        if n_rows:
            self.reasons[reason] = self.reasons.get(reason, 0) + n_rows


class _Rows:
    """A place in the text of a file.

    Attributes
    ----------
    number : int
        The number of the line that stands there.
    taken : int
        Characters before it.
    too_long : dict of int to int
        See `TextBlock`.
    """

    def __init__(self, blocks: Iterator[TextBlock]) -> None:
        self._blocks = blocks
        self._text = ""
        self._at = 0
        self.number = 1
        self.taken = 0
        self.too_long: dict[int, int] = {}

    @property
    def left(self) -> int:
        """How many characters of the block follow."""
        return len(self._text) - self._at

    def fill(self) -> bool:
        """See to it that a line stands here; False at the end of the file."""
        if self._at == len(self._text):
            block = next(self._blocks, None)
            if block is None:
                return False
            self._text, self._at, self.too_long = block.text, 0, block.too_long
        return True

    def text(self) -> str:
        """Give what follows in this block."""
        return self._text[self._at :]

    def line(self) -> str:
        """Give the line that stands here, without its end."""
        return self._text[self._at : self._text.index("\n", self._at)]

    def ahead(self) -> Iterator[str]:
        """Yield the lines from here on, with their ends, up to one that is too long; stay here."""
        place, number = self._at, self.number
        while number not in self.too_long:
            if place == len(self._text):
                block = next(self._blocks, None)
                if block is None:
                    return
                place -= self._at
                self._text, self._at = self.text() + block.text, 0
                self.too_long = {**self.too_long, **block.too_long}
                continue
            end = self._text.index("\n", place) + 1
            yield self._text[place:end]
            place, number = end, number + 1

    def skip(self, n_lines: int) -> None:
        """Go past some lines."""
        for _ in range(n_lines):
            end = self._text.index("\n", self._at) + 1
            self.taken += end - self._at
            self._at = end
        self.number += n_lines

    def clear(self) -> None:
        """Go past all lines of the block."""
        self.number += self._text.count("\n", self._at)
        self.taken += self.left
        self._at = len(self._text)
