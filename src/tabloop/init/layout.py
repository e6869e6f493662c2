"""Guess how a delimited text file is written: its encoding and what stands between two fields."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

from tabloop.config.data import CsvSource
from tabloop.errors import DataError

_BLOCK_BYTES = 1 << 20
_SAMPLE_CHARACTERS = 1 << 16
_SAMPLE_RECORDS = 500
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_ARCHIVES = {b"PK\x03\x04": "a zip archive or Excel sheet", b"\x1f\x8b": "compressed", b"PAR1": "Parquet"}


def guess_csv_layout(file: Path, *, path: str, target: str) -> tuple[CsvSource, str]:
    """Guess encoding and separator of a delimited file.

    Neither decimal commas nor spaces around fields are looked for: both show only in the columns.

    Parameters
    ----------
    file : pathlib.Path
        The file.
    path : str
        How the config shall name it.
    target : str
        A column that should be there: the separator that makes it one is preferred.

    Returns
    -------
    source : CsvSource
    seen : str
        What it was guessed from.

    Raises
    ------
    DataError
        If the file is no text.
    """
    encoding = _guess_encoding(file)
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    with file.open(encoding=codec, errors="replace", newline="") as stream:
        sample = stream.read(_SAMPLE_CHARACTERS)
    if len(sample) == _SAMPLE_CHARACTERS:
        sample = sample[: sample.rfind("\n") + 1] or sample  # the last line was cut
    best, best_score, seen = ",", (False, 0.0, 0), "fields between commas"
    for separator, name in _SEPARATORS.items():
        records = _records(sample, separator)
        if not records:
            continue
        header = records[0]
        agreeing = Counter(map(len, records))[len(header)]
        has_target = target.strip() in [field.strip() for field in header]
        score = (has_target, agreeing / len(records) if len(header) > 1 else 0.0, len(header))
        if score > best_score:
            best, best_score = separator, score
            seen = f"fields between {name}, {len(header)} of them in {agreeing} of {len(records)} lines"
    options: dict[str, Any] = {"kind": "csv", "path": path, "separator": best, "encoding": encoding}
    return CsvSource.model_validate(options), f"{seen}; {_why(encoding)}"


def _records(sample: str, separator: str) -> list[list[str]]:
    records: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=separator):
            if record:
                records.append(record)
            if len(records) == _SAMPLE_RECORDS:
                break
    except csv.Error:
        return []
    return records


def _guess_encoding(file: Path) -> str:
    with file.open("rb") as stream:
        start = stream.read(_BLOCK_BYTES)
    for magic, what in _ARCHIVES.items():
        if start.startswith(magic):
            raise DataError(
                f"{file}: is {what}, expected delimited text, or Parquet in a file named *.parquet; "
                "write it as one of them"
            )
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in start:
        raise DataError(f"{file}: holds NUL bytes, so it is no text; expected CSV or a file named *.parquet")
    return next((encoding for encoding in ("utf-8", "cp1252") if _decodes(file, encoding)), "latin-1")


def _decodes(file: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    with file.open("rb") as stream:
        try:
            while block := stream.read(_BLOCK_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _why(encoding: str) -> str:
    return {
        "utf-8": "valid UTF-8",
        "utf-16": "UTF-16 by its byte order mark",
        "cp1252": "not UTF-8, so Windows' Western encoding",
        "latin-1": "neither UTF-8 nor cp1252",
    }[encoding]
