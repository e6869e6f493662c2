"""Whole lines of a text file, in bounded memory however long a line is."""

from __future__ import annotations

import codecs
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tabloop.errors import DataError

_BLOCK_BYTES = 4 << 20

#: What is kept of a line that is too long, to show it.
SHOWN_CHARACTERS = 200

_OTHER_FILES = {b"\x1f\x8b": "a gzip archive", b"PK\x03\x04": "a zip archive", b"PAR1": "a Parquet file"}
_MARK = "\ufeff"


@dataclass(frozen=True)
class TextBlock:
    """Some lines of a file.

    Attributes
    ----------
    text : str
        Whole lines, each ending in one line feed however the file writes it.
    first_line : int
        The number of the first of them, from 1.
    too_long : dict of int to int
        Lines that are longer than allowed, and how many characters they have; only the beginning of such a
        line is in `text`.
    """

    text: str
    first_line: int
    too_long: dict[int, int]


class TextLines:
    """The lines of a text file, read from front to back.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    encoding : str
        How it is written; byte order marks at its beginning are left out, as many as there are.
    most_characters : int
        The longest line that is kept whole.

    Raises
    ------
    DataError
        If there is no such file, or its first bytes say that it is something else.
    """

    def __init__(self, path: Path, encoding: str, most_characters: int) -> None:
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "no such file"
            raise DataError(f"{path}: {found}; the command or data.source.path names it")
        _require_text(path, encoding)
        self._path = path
        self._encoding = encoding
        self._most_characters = most_characters
        self._size_bytes = path.stat().st_size
        self._bytes_read = 0
        self._hash = hashlib.sha256()

    @property
    def fraction_read(self) -> float:
        """How much of the file the blocks so far took."""
        return min(1.0, self._bytes_read / max(1, self._size_bytes))

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes that were read."""
        return self._hash.hexdigest()

    def blocks(self) -> Iterator[TextBlock]:
        """Yield the lines, some megabytes at a time.

        Raises
        ------
        DataError
            If the bytes are not of the encoding.
        """
        self._hash, self._bytes_read = hashlib.sha256(), 0
        most = self._most_characters
        line, rest = 1, ""
        # of a line that is longer than allowed, only the beginning is kept until its end is found
        beginning, dropped = "", 0
        for decoded in self._decoded():
            if dropped:
                end = decoded.find("\n")
                if end < 0:
                    dropped += len(decoded)
                    continue
                dropped += end
                decoded = decoded[end + 1 :]
                yield TextBlock(beginning + "\n", line, {line: dropped})
                line, dropped = line + 1, 0
            text = rest + decoded
            cut = text.rfind("\n") + 1
            text, rest = text[:cut], text[cut:]
            if text:
                text, too_long = _cut_long_lines(text, line, most)
                yield TextBlock(text, line, too_long)
                line += text.count("\n")
            if len(rest) > most:
                beginning, dropped, rest = rest[:SHOWN_CHARACTERS], len(rest), ""
        if dropped:
            yield TextBlock(beginning + "\n", line, {line: dropped})
        elif rest:
            yield TextBlock(rest + "\n", line, {})

    def _decoded(self) -> Iterator[str]:
        """Yield the text, each line end written as one line feed, without byte order marks."""
        inner = codecs.getincrementaldecoder(self._encoding)("strict")
        decoder = io.IncrementalNewlineDecoder(inner, translate=True)
        at_start = True
        with self._path.open("rb") as file:
            while True:
                block = file.read(_BLOCK_BYTES)
                self._hash.update(block)
                begin = self._bytes_read - len(inner.getstate()[0])
                try:
                    text = decoder.decode(block, final=not block)
                except UnicodeError as error:
                    raise DataError(
                        f"{self._path}: byte {begin + getattr(error, 'start', 0)} is not {self._encoding} "
                        f"({getattr(error, 'reason', error)}); data.source.encoding says how the file is "
                        "written (utf-8, latin-1, cp1252, utf-16)"
                    ) from error
                self._bytes_read += len(block)
                if at_start:
                    text = text.lstrip(_MARK)
                    at_start = not text
                if text:
                    yield text
                if not block:
                    return


def _cut_long_lines(text: str, first_line: int, most: int) -> tuple[str, dict[int, int]]:
    """Cut lines of more than `most` characters; looks at about one place in `most`."""
    pieces: list[str] = []
    too_long: dict[int, int] = {}
    kept = start = 0
    while start < len(text):
        end = text.rfind("\n", start, start + most + 1)
        if end < 0:
            end = text.index("\n", start)
            pieces.append(text[kept : start + SHOWN_CHARACTERS])
            too_long[first_line + text.count("\n", 0, start)] = end - start
            kept = end
        start = end + 1
    return ("".join([*pieces, text[kept:]]), too_long) if too_long else (text, too_long)


def _require_text(path: Path, encoding: str) -> None:
    """Say what a file is that is no text of this encoding, where its first bytes tell."""
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
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and encoding != "utf-16":
        raise DataError(f"{path}: is written in UTF-16; set data.source.encoding: utf-16")
    if start.startswith(codecs.BOM_UTF8) and encoding != "utf-8":
        raise DataError(f"{path}: begins with the mark of UTF-8; set data.source.encoding: utf-8")
