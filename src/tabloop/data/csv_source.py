"""Rows of a delimited text file: Polars where the layout is plain, the csv module where it is not."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from tabloop.config.data import CsvSource
from tabloop.data.sources import Chunk, MalformedRow
from tabloop.errors import DataError

_BLOCK_BYTES = 16 << 20
_CHUNK_ROWS = 100_000


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
        self._source = source
        if not path.is_file():
            raise DataError(f"{path}: no such file; data.source.path names it")
        self.size_bytes = path.stat().st_size
        self.bytes_read = 0
        self._hash = hashlib.sha256()
        self.dtypes: list[pl.DataType] | None = None
        self._blocks = self._decoded_blocks(path.open("rb"))
        # the header may follow blank lines, and is within the first block unless the file is no table
        self._text = next(self._blocks, "")
        start = len(self._text) - len(self._text.lstrip("\n"))
        if not self._text.strip():
            raise DataError(f"{path}: the file is empty; expected a header line and rows")
        self._line = 1 + start
        self._text = self._text[start:]
        header, _, _ = self._text.partition("\n")
        if '"' in header:
            reader = csv.reader(io.StringIO(self._text, newline=""), delimiter=source.separator, strict=True)
            self.columns = self._next_record(reader) or []
            header = "\n".join(self._text.split("\n", reader.line_num)[: reader.line_num])
        else:
            self.columns = header.split(source.separator)
        self.columns = [name.strip() if source.strip_spaces else name for name in self.columns]
        self._text = self._text[len(header) + 1 :]
        self._line += header.count("\n") + 1

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, once every chunk was read."""
        return self._hash.hexdigest()

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order, as text."""
        text, self._text = self._text, ""
        while text or (text := next(self._blocks, "")):
            if '"' in text:
                yield from self._quoted_chunks(text)
                return
            yield self._plain_chunk(text)
            text = ""

    def _decoded_blocks(self, file: BinaryIO) -> Iterator[str]:
        """Decode the file and yield whole lines, their ends all written as one line feed."""
        encoding = "utf-8-sig" if self._source.encoding == "utf-8" else self._source.encoding
        decoder = codecs.getincrementaldecoder(encoding)("strict")
        rest = ""
        with file:
            while True:
                block = file.read(_BLOCK_BYTES)
                self._hash.update(block)
                try:
                    text = rest + decoder.decode(block, final=not block)
                except UnicodeDecodeError as error:
                    offset = self.bytes_read + error.start
                    raise DataError(
                        f"{self.path}: byte {offset} is not {self._source.encoding} ({error.reason}); "
                        "data.source.encoding says how the file is written (utf-8, latin-1, cp1252, utf-16)"
                    ) from error
                self.bytes_read += len(block)
                if not block:
                    if text:
                        yield _unix_lines(text)
                    return
                # a carriage return at the very end may be half of a line end
                cut = text.rfind("\n") + 1
                if cut:
                    yield _unix_lines(text[:cut])
                rest = text[cut:]

    def _plain_chunk(self, text: str) -> Chunk:
        content = text.encode() if text.endswith("\n") else text.encode() + b"\n"
        raw = np.frombuffer(content, dtype=np.uint8)
        ends = np.flatnonzero(raw == 0x0A)
        separators = np.flatnonzero(raw == ord(self._source.separator))
        fields = np.diff(np.searchsorted(separators, ends), prepend=0) + 1
        blank = np.diff(ends, prepend=-1) == 1
        lines = self._line + np.arange(len(ends))
        self._line += len(ends)
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

    def _quoted_chunks(self, text: str) -> Iterator[Chunk]:
        first_line = self._line - 1

        def all_lines() -> Iterator[str]:
            block = text
            while block:
                yield from io.StringIO(block, newline="")
                block = next(self._blocks, "")

        reader = csv.reader(all_lines(), delimiter=self._source.separator, strict=True)

        def records() -> Iterator[tuple[int, list[str]]]:
            while True:
                line = first_line + reader.line_num + 1
                record = self._next_record(reader, first_line)
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

    def _next_record(self, reader: Iterator[list[str]], first_line: int = 0) -> list[str] | None:
        line = first_line + reader.line_num + 1  # type: ignore[attr-defined]
        try:
            return next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{self.path}, line {line}: the quotes do not close as they should ({error}); "
                'a quote inside a quoted field is written ""'
            ) from error

    def _stripped(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.all().str.strip_chars()) if self._source.strip_spaces else frame


def _unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
