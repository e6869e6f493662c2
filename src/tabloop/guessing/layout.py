"""Guess how a delimited text file is written: its encoding and what stands between two fields."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from pathlib import Path

from tabloop.config.data import CsvSource
from tabloop.contract.columns import listing
from tabloop.data.files.csv_header import looks_headerless
from tabloop.errors import DataError

_BLOCK_BYTES = 1 << 20
_SAMPLE_CHARACTERS = 1 << 16
_SAMPLE_RECORDS = 500
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SAID_SEPARATOR = re.compile(r"\ufeff?sep=(?P<separator>.)\r?\n", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?$")
_ARCHIVES = {b"PK\x03\x04": "a zip archive or Excel sheet", b"\x1f\x8b": "compressed", b"PAR1": "Parquet"}


def guess_csv_layout(file: Path, *, path: str, target: str, header: bool = True) -> tuple[CsvSource, str]:
    """Guess encoding, separator, comments and repeated names of a delimited file.

    Spaces around fields are not looked for: they show only in the columns.

    Parameters
    ----------
    file : pathlib.Path
        The file.
    path : str
        The path as the config shall write it.
    target : str
        A column that should be there: the separator that makes it one is preferred.
    header : bool, default=True
        Whether the first line names the columns.

    Returns
    -------
    source : CsvSource
    seen : str
        The evidence for the guess, in words.

    Raises
    ------
    DataError
        If the file is no text, or its first line looks like a row although it should be a header.
    """
    encoding = _guess_encoding(file)
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    with file.open(encoding=codec, errors="replace", newline="") as stream:
        sample = stream.read(_SAMPLE_CHARACTERS)
    if len(sample) == _SAMPLE_CHARACTERS:
        sample = sample[: sample.rfind("\n") + 1] or sample  # the last line was cut
    best, best_score, seen = ",", (False, 0.0, 0), "fields between commas"
    names: list[str] = []
    rows: list[list[str]] = []
    comment = _guess_comment(sample)
    said = _SAID_SEPARATOR.match(sample)
    for separator, name in _SEPARATORS.items():
        if said is not None and said["separator"] in _SEPARATORS and separator != said["separator"]:
            continue
        records = _records(sample[said.end() :] if said else sample, separator, comment)
        if not records:
            continue
        first = records[0]
        agreeing = Counter(map(len, records))[len(first)]
        has_target = target.strip() in [field.strip() for field in first]
        score = (has_target, agreeing / len(records) if len(first) > 1 else 0.0, len(first))
        if score > best_score:
            best, best_score, names, rows = separator, score, first, records[1:]
            seen = f"fields between {name}, {len(first)} of them in {agreeing} of {len(records)} lines"
    options: dict[str, object] = {"kind": "csv", "path": path, "separator": best, "encoding": encoding}
    if comment is not None:
        options["comment"] = comment
        seen += f"; lines that begin with {comment} are comments"
    if not header:
        options["header"] = False
    elif _is_like_rows(names, rows, target.strip()) or (_is_row(names) and not best_score[0]):
        place = names.index(target) + 1 if target in names else "N"
        which = f", with N from 1 to {len(names)}" if place == "N" else ""
        raise DataError(
            f"{file}: this looks like a file without a header: its first line is {listing(names)}. "
            f"`tabloop init FILE --no-header --target column_{place}` reads it so{which}; "
            "or write a line of names above it"
        )
    elif len(set(names)) < len(names) and not _is_row(names):
        options["repeated_names"] = "number"
        twice = [f"{each!r}" for each, times in Counter(names).items() if times > 1]
        seen += f"; names that stand there again are told apart by position, as name_2: {listing(twice)}"
    return CsvSource.model_validate(options), f"{seen}; {_why(encoding)}"


def _is_row(names: list[str]) -> bool:
    """Tell whether a first line holds values: a number with a point, or nothing but numbers."""
    return looks_headerless(names) or (bool(names) and all(_NUMBER.match(name.strip()) for name in names))


def _is_like_rows(names: list[str], rows: list[list[str]], target: str) -> bool:
    """Tell whether a first line is like the rows below it: its fields are values of their own columns.

    A name would differ from what it names: a text above numbers, or, for the target, which has two values,
    neither of them. So years can be names. A field among texts that do not repeat tells nothing.
    """
    columns = list(zip(*(row for row in rows if len(row) == len(names)), strict=True))
    alike = 0
    for name, column in zip(names, columns, strict=False):
        field, values = name.strip(), Counter(value.strip() for value in column if value.strip())
        if field in values:
            alike += 1
        elif field == target:
            return False
        elif sum(n for value, n in values.items() if _NUMBER.match(value)) > 0.9 * values.total():
            if not _NUMBER.match(field):
                return False
            alike += 1
    return len(rows) > 1 and alike > len(names) / 2


def _guess_comment(sample: str) -> str | None:
    """Find whether the file begins with comments: lines after `#` that are not laid out as the others."""
    lines = [line for line in sample.splitlines()[:100] if line.strip()]
    others = [line for line in lines if not line.startswith("#")]
    if not lines or not others or lines[0] == others[0]:
        return None
    return None if any(lines[0].count(each) == others[0].count(each) > 0 for each in _SEPARATORS) else "#"


def _records(sample: str, separator: str, comment: str | None) -> list[list[str]]:
    records: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=separator):
            if record and not (comment is not None and record[0].startswith(comment)):
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
