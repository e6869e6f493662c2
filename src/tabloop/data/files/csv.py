"""Rows of a delimited text file: Polars where the layout is plain, the csv module where it is not."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from tabloop.config.data import CsvSource
from tabloop.data.row_source import Chunk, MalformedRow
from tabloop.errors import DataError

_BLOCK_BYTES = 4 << 20
_CHUNK_ROWS = 100_000

_OTHER_FILES = {b"\x1f\x8b": "a gzip archive", b"PK\x03\x04": "a zip archive", b"PAR1": "a Parquet file"}

# A text column may hold a million characters; the module's own limit is 131,072
csv.field_size_limit(16 << 20)


class _Reader(Protocol):
    """What `csv.reader` makes."""

    line_num: int

    def __next__(self) -> list[str]: ...

    def __iter__(self) -> Iterator[list[str]]: ...


class CsvRows:
    """An opened delimited file; every line is either a row, a malformed row or blank.

    Parameters
    ----------
    source : CsvSource
        How the file is written.
    path : pathlib.Path
        The file.

    Raises
    ------
    DataError
        If there is no such file, it is empty, or its beginning is not in the encoding.

    Notes
    -----
    Polars fills a short row with nulls in silence, so the fields of every line are counted first. A
    block without a quote is counted on its bytes and parsed by Polars. From the first quote on, a
    line break may be part of a field, and the csv module reads the rest.
    """

    def __init__(self, source: CsvSource, path: Path) -> None:
        self.path = path
        self.where = str(path)
        self.identity = {"path": str(path)}
        self.notes: list[str] = []
        self.extra: tuple[str, ...] = ()
        self._source = source
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "no such file"
            raise DataError(f"{path}: {found}; data.source.path names it")
        _require_text(path, source)
        self._size_bytes = path.stat().st_size
        self._bytes_read = 0
        self._hash = hashlib.sha256()
        self.dtypes: list[pl.DataType] | None = None
        blocks = self._decoded_blocks()
        try:
            # the header is within the first block unless the file is no table
            self.columns, self._header_length, self._first_line = self._read_header(next(blocks, ""))
        finally:
            blocks.close()

    def _read_header(self, text: str) -> tuple[list[str], int, int]:
        """Find the columns, how much of the text they take, and the line of the first row."""
        start = len(text) - len(text.lstrip("\n"))
        if not text.strip():
            raise DataError(f"{self.path}: the file is empty; expected a header line and rows")
        header, _, _ = text[start:].partition("\n")
        columns = header.split(self._source.separator)
        if '"' in header:
            lines = io.StringIO(text[start:], newline="")
            reader = csv.reader(lines, delimiter=self._source.separator, strict=True)
            columns = self._next_record(reader, start) or []
            header = "\n".join(text[start:].split("\n", reader.line_num)[: reader.line_num])
        if self._source.strip_spaces:
            columns = [name.strip() for name in columns]
        return columns, start + len(header) + 1, start + header.count("\n") + 2

    @property
    def fraction_read(self) -> float | None:
        """How much of the file the chunks so far took."""
        return min(1.0, self._bytes_read / max(1, self._size_bytes))

    def close(self) -> None:
        """Nothing is held open between chunks."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, once every chunk was read."""
        return self._hash.hexdigest()

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order, as text."""
        self._hash, self._bytes_read = hashlib.sha256(), 0
        blocks = self._decoded_blocks()
        text = next(blocks, "")[self._header_length :]
        line = self._first_line
        while text or (text := next(blocks, "")):
            if '"' in text:
                yield from self._quoted_chunks(text, blocks, line)
                return
            yield self._plain_chunk(text, line)
            line += text.count("\n")
            text = ""

    def _decoded_blocks(self) -> Generator[str]:
        """Decode the file and yield whole lines, their ends all written as one line feed."""
        encoding = "utf-8-sig" if self._source.encoding == "utf-8" else self._source.encoding
        decoder = codecs.getincrementaldecoder(encoding)("strict")
        rest = ""
        with self.path.open("rb") as file:
            while True:
                block = file.read(_BLOCK_BYTES)
                self._hash.update(block)
                try:
                    text = rest + decoder.decode(block, final=not block)
                except UnicodeError as error:
                    offset = self._bytes_read + getattr(error, "start", 0)
                    raise DataError(
                        f"{self.path}: byte {offset} is not {self._source.encoding} "
                        f"({getattr(error, 'reason', error)}); data.source.encoding says how the file is "
                        "written (utf-8, latin-1, cp1252, utf-16)"
                    ) from error
                self._bytes_read += len(block)
                if not block:
                    if text:
                        yield _unix_lines(text)
                    return
                # what follows the last line feed waits: a line, or a carriage return, may go on
                cut = text.rfind("\n") + 1
                if cut:
                    yield _unix_lines(text[:cut])
                rest = text[cut:]

    def _plain_chunk(self, text: str, first_line: int) -> Chunk:
        content = text.encode() if text.endswith("\n") else text.encode() + b"\n"
        raw = np.frombuffer(content, dtype=np.uint8)
        ends = np.flatnonzero(raw == 0x0A)
        separators = np.flatnonzero(raw == ord(self._source.separator))
        fields = np.diff(np.searchsorted(separators, ends), prepend=0) + 1
        blank = np.diff(ends, prepend=-1) == 1
        lines = first_line + np.arange(len(ends))
        wrong = (fields != len(self.columns)) & ~blank
        malformed: list[MalformedRow] = []
        if wrong.any() or blank.any():
            split = text.split("\n")
            malformed = [
                MalformedRow(int(lines[place]), split[place].split(self._source.separator))
                for place in np.flatnonzero(wrong)
            ]
            content = "".join(split[place] + "\n" for place in np.flatnonzero(~wrong & ~blank)).encode()
        return Chunk(self._frame_of_bytes(content), lines[~wrong & ~blank], malformed)

    def _frame_of_bytes(self, content: bytes) -> pl.DataFrame:
        if not content:
            return pl.DataFrame(schema=dict.fromkeys(self.columns, pl.String))
        frame = pl.read_csv(
            content,
            has_header=False,
            new_columns=self.columns,
            separator=self._source.separator,
            quote_char=None,
            infer_schema=False,
        )
        return self._stripped(frame)

    def _quoted_chunks(self, text: str, blocks: Iterator[str], first_line: int) -> Iterator[Chunk]:
        lines_before = first_line - 1

        def all_lines() -> Iterator[str]:
            block = text
            while block:
                yield from io.StringIO(block, newline="")
                block = next(blocks, "")

        reader = csv.reader(all_lines(), delimiter=self._source.separator, strict=True)

        def records() -> Iterator[tuple[int, list[str]]]:
            while True:
                line = lines_before + reader.line_num + 1
                record = self._next_record(reader, lines_before)
                if record is None:
                    return
                if record:
                    yield line, record

        rows = records()
        while batch := list(islice(rows, _CHUNK_ROWS)):
            good = [(line, record) for line, record in batch if len(record) == len(self.columns)]
            malformed = [MalformedRow(ln, record) for ln, record in batch if len(record) != len(self.columns)]
            frame = pl.DataFrame(
                [record for _, record in good],
                schema=dict.fromkeys(self.columns, pl.String),
                orient="row",
            )
            lines = np.fromiter((line for line, _ in good), dtype=np.int64, count=len(good))
            yield Chunk(self._stripped(frame), lines, malformed)

    def _next_record(self, reader: _Reader, lines_before: int) -> list[str] | None:
        line = lines_before + reader.line_num + 1
        try:
            return next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{self.path}, line {line}: not readable as CSV ({error}); does a quote never close? "
                'A quote inside a quoted field is written ""'
            ) from error

    def _stripped(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Leave spaces out, if asked to; an empty field is null, quoted or not."""
        if self._source.strip_spaces:
            frame = frame.with_columns(pl.all().str.strip_chars())
        return frame.with_columns(pl.when(pl.all() != "").then(pl.all()))


def _require_text(path: Path, source: CsvSource) -> None:
    """Say what a file is that is no text, where its first bytes tell."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    for mark, name in _OTHER_FILES.items():
        if start.startswith(mark):
            raise DataError(
                f"{path}: is {name}, not a text file; unpack it, or set data.source.kind: parquet"
            )
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and source.encoding != "utf-16":
        raise DataError(f"{path}: is written in UTF-16; set data.source.encoding: utf-16")


def _unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
