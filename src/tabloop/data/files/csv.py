"""Rows of a delimited text file: Polars where the layout is plain, the csv module where it is not."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl

from tabloop.config.data import CsvSource, ReadingLimits
from tabloop.data.files.csv_header import column_names
from tabloop.data.files.text_cursor import LEAST_PLAIN_CHARACTERS, TextCursor
from tabloop.data.files.text_lines import SHOWN_CHARACTERS, TextLines
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
        The settings that say how the file is written.
    path : pathlib.Path
        The file.
    limits : ReadingLimits, optional
        The limits above which input is refused.

    Raises
    ------
    DataError
        If there is no such file, it is empty, its beginning is not in the encoding, or its header cannot be
        used: it has too many columns, or one name twice.

    Notes
    -----
    Polars fills a short row with nulls in silence, so the fields of every line are counted first. Many
    lines without a quote are counted on their bytes and parsed by Polars. Around a quote, where a line break
    may be part of a field, the csv module reads record by record. A record whose quotes do not fit, or that
    passes the limit of a line, is one malformed row of one line, and reading goes on at the next line: a
    quote that never closes costs its own line and no other. So no line is read more than twice, once
    within an open quote and once outside of any: a line that leaves a quote open in the one case closes it in
    the other.
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
        rows = TextCursor(self._lines.blocks())
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
        rows = TextCursor(self._lines.blocks())
        self._first_record(rows, stay=not self._source.header)
        while rows.fill():
            plain = rows.plain_characters()
            if plain == rows.left or plain >= LEAST_PLAIN_CHARACTERS:
                yield self._plain_chunk(rows, plain)
            else:
                yield self._quoted_chunk(rows)

    def _first_record(self, rows: TextCursor, *, stay: bool = False) -> list[str]:
        """Read the first line that is neither blank nor a comment nor Excel's `sep=`; go past it or stay."""
        found = None
        while found is None and rows.fill():
            line = rows.text(len("sep=x\n"))
            if rows.number == 1 and line.lower().startswith("sep=") and line.endswith("\n"):
                if line[-2] != self._source.separator:
                    raise DataError(
                        f"{self.path}: the first line says that {line[-2]!r} stands between fields; "
                        f"data.source.separator is {self._source.separator!r}"
                    )
                rows.advance(len(line))
                continue
            found = next(self._records(rows, rows.left), None)
            rows.skip(rows.lines_left() if found is None else found.number - rows.number)
        if found is None:
            raise DataError(f"{self.path}: the file is empty; expected a header line and rows")
        if found.number in rows.too_long:
            raise DataError(
                f"{self.path}, line {found.number}: {rows.too_long[found.number]:,} characters; "
                f"data.limits.line_characters allows {self._limits.line_characters:,}. Is it a table?"
            )
        if found.fields is None:
            raise DataError(
                f"{self.path}, line {found.number}: not readable as CSV: {found.line[:SHOWN_CHARACTERS]!r}; "
                f"expected {_QUOTES_EXPECTED}"
            )
        if not stay:
            rows.skip(found.n_lines)
        return found.fields

    def _require_no_comment(self, header: list[str], rows: TextCursor) -> None:
        """Raise where the first line looks like a comment that nobody has declared."""
        if self._source.comment is not None or not header[0].startswith("#") or not rows.fill():
            return
        found = next(self._records(rows, rows.left), None)
        if found is not None and found.fields is not None and len(found.fields) != len(header):
            raise DataError(
                f"{self.path}: the first line begins with # and has {len(header)} fields, the next has "
                f"{len(found.fields)}; data.source.comment: '#' leaves such lines out"
            )

    def _records(self, rows: TextCursor, characters: int) -> Iterator[_Record]:
        """Yield what begins within some characters, without moving; blank lines and comments are left out."""
        most = self._limits.line_characters + 1  # the line feed counts too
        comment = self._source.comment or "\n"
        lines = io.StringIO(rows.text(characters), newline="\n").readlines()
        beyond = rows.lines_beyond(characters)
        n_lines, first = len(lines), rows.number
        start = place = 0  # the lines of the record being read, and of the line the csv module asks for

        def fed() -> Iterator[str]:
            nonlocal start, place
            size = 0
            while True:
                if place == len(lines):
                    if place == start or (line := next(beyond, None)) is None:
                        return
                    lines.append(line)
                line = lines[place]
                if place == start:
                    if line == "\n" or line.startswith(comment):
                        place = start = place + 1
                        continue
                    size = 0
                size += len(line)
                if size > most or first + place in rows.too_long:
                    return
                place += 1
                yield line

        reader = self._reader(fed())
        while start < n_lines:
            try:
                fields = next(reader, None)
            except csv.Error:
                fields = None
            if start >= n_lines:
                return
            if fields is None:
                place = start + 1
                reader = self._reader(fed())
            yield _Record(first + start, lines[start][:-1], fields, place - start)
            start = place

    def _reader(self, lines: Iterator[str]) -> _Reader:
        return csv.reader(
            lines,
            delimiter=self._source.separator,
            skipinitialspace=self._source.strip_spaces,
            strict=True,
        )

    def _plain_chunk(self, rows: TextCursor, characters: int) -> Chunk:
        """Read lines without quotes: count their bytes, and hand what is right to Polars."""
        content = rows.text(characters).encode()
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
        rows.advance(characters)
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

    def _quoted_chunk(self, rows: TextCursor) -> Chunk:
        """Read lines with quotes record by record; the last may take lines of the next block."""
        records: list[list[str]] = []
        lines: list[int] = []
        malformed = _Malformed(self._left_to_describe)
        characters = rows.quoted_characters()
        n_lines = rows.text(characters).count("\n")
        for found in self._records(rows, characters):
            n_lines = max(n_lines, found.number + found.n_lines - rows.number)
            if found.fields is not None and len(found.fields) == len(self.columns):
                records.append(found.fields)
                lines.append(found.number)
            elif malformed.left:
                row = self._malformed(found.number, found.line, rows.too_long, found.fields)
                malformed.count(row.reason, 1)
                malformed.add(row)
            else:
                is_long = found.number in rows.too_long
                malformed.count("length" if is_long else "quotes" if found.fields is None else "fields", 1)
        rows.skip(n_lines)
        self._left_to_describe = malformed.left
        columns = zip(*records, strict=True) if records else [()] * len(self.columns)
        frame = pl.DataFrame(
            dict(zip(self.columns, columns, strict=True)), schema=dict.fromkeys(self.columns, pl.String)
        )
        found_lines = np.array(lines, dtype=np.int64)
        return Chunk(self._stripped(frame), found_lines, malformed.rows, malformed.reasons)

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


class _Reader(Protocol):
    """What `csv.reader` makes."""

    def __next__(self) -> list[str]: ...

    def __iter__(self) -> Iterator[list[str]]: ...


class _Record(NamedTuple):
    """What begins in a line: its number and text, its fields if it can be read, how many lines it takes."""

    number: int
    line: str
    fields: list[str] | None
    n_lines: int


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
