from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabloop.config.data import CsvSource
from tabloop.data.files import csv as csv_source
from tabloop.data.files.csv import CsvRows
from tabloop.errors import DataError


def read(
    path: Path, **options: object
) -> tuple[CsvRows, list[tuple[int, tuple[str | None, ...]]], list[int]]:
    rows = CsvRows(CsvSource.model_validate({"kind": "csv", "path": str(path), **options}), path)
    good: list[tuple[int, tuple[str | None, ...]]] = []
    malformed = []
    for chunk in rows.chunks():
        good += zip(chunk.lines.tolist(), chunk.frame.rows(), strict=True)
        malformed += [row.line for row in chunk.malformed]
    return rows, good, malformed


def written(folder: Path, content: bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_are_counted_as_an_editor_does(tmp_path: Path, end: str, last: bool) -> None:
    text = end.join(["a,b", "1,2", "", "3", "4,5,6", "7,8"]) + (end if last else "")
    rows, good, malformed = read(written(tmp_path, text.encode()))
    assert rows.columns == ["a", "b"]
    assert good == [(2, ("1", "2")), (6, ("7", "8"))]
    assert malformed == [4, 5]
    assert rows.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_line_breaks_inside_quotes_belong_to_the_field(tmp_path: Path) -> None:
    rows, good, malformed = read(written(tmp_path, b'"a\nx",b\n1,"two\nlines"\n3\n"say ""hi""",4\n'))
    assert rows.columns == ["a\nx", "b"]
    assert good == [(3, ("1", "two\nlines")), (6, ('say "hi"', "4"))]
    assert malformed == [5]


def test_na_and_null_are_texts_and_only_the_empty_field_is_empty(tmp_path: Path) -> None:
    _, good, _ = read(written(tmp_path, b"a,b\nNA,null\n,NaN\n"))
    assert [row for _, row in good] == [("NA", "null"), (None, "NaN")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, "größe,b\nü,2\n".encode(encoding))
    rows, good, _ = read(path, encoding="utf-8" if encoding == "utf-8-sig" else encoding)
    assert rows.columns == ["größe", "b"]
    assert good == [(2, ("ü", "2"))]


def test_a_wrong_encoding_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"byte 6 is not utf-8.*data\.source\.encoding"):
        read(written(tmp_path, "a,b\n1,ü\n".encode("latin-1")))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="the file is empty"):
        read(written(tmp_path, content))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file; data\.source\.path"):
        read(tmp_path / "nowhere.csv")


def test_a_quote_that_never_closes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: not readable as CSV"):
        read(written(tmp_path, b'a,b\n1,"2\n3,4\n'))


def test_separator_and_spaces(tmp_path: Path) -> None:
    rows, good, _ = read(written(tmp_path, b"a ; b\n 1; x y \n"), separator=";", strip_spaces=True)
    assert rows.columns == ["a", "b"]
    assert good == [(2, ("1", "x y"))]


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=8)


@given(
    rows=st.lists(st.tuples(FIELD, FIELD), max_size=30),
    block_bytes=st.integers(4, 60),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_whatever_the_csv_module_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    block_bytes: int,
    quoting: int,
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerows([("a", "b"), *rows])
    path = written(tmp_path_factory.mktemp("csv"), text.getvalue().encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_source, "_BLOCK_BYTES", block_bytes)
        _, good, malformed = read(path)
    assert [row for _, row in good] == rows
    assert malformed == []
