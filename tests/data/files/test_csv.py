from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabloop.config.data import CsvSource, ReadingLimits
from tabloop.data.files import text_lines
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
    with pytest.raises(DataError, match=r"no such file; the command or data\.source\.path names it"):
        read(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    "line",
    ['1,"2', '"1,2', '1,"2" x', '1,"5" pipe",3', '"'],
    ids=["never_closed", "first_field", "text_behind", "inch_mark", "alone"],
)
def test_a_quote_that_does_not_fit_costs_its_own_line(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f'a,b\n1,2\n{line}\n3,4\n5,"six\nseven"\n'.encode())
    _, good, malformed = read(path)
    assert good == [(2, ("1", "2")), (4, ("3", "4")), (5, ("5", "six\nseven"))]
    assert malformed == [3]


def test_a_quote_inside_an_unquoted_field_is_a_character(tmp_path: Path) -> None:
    _, good, malformed = read(written(tmp_path, b'a,b\n1,5" pipe\n2,x\n'))
    assert (good, malformed) == ([(2, ("1", '5" pipe')), (3, ("2", "x"))], [])


def test_a_header_with_a_quote_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1: not readable as CSV.*quotes in pairs"):
        read(written(tmp_path, b'a,"b\n1,2\n'))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_byte_order_marks_are_left_out_however_many(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, "\ufeff\ufeffa,b\n1,2\n".encode(encoding))
    rows, good, _ = read(path, encoding="utf-16" if encoding == "utf-16-le" else encoding)
    assert (rows.columns, good) == (["a", "b"], [(2, ("1", "2"))])
    with pytest.raises(DataError, match=r"data\.source\.encoding: utf-"):
        read(path, encoding="latin-1")


def test_excel_says_itself_what_stands_between_fields(tmp_path: Path) -> None:
    path = written(tmp_path, b"sep=;\na;b\n1;2\n")
    rows, good, _ = read(path, separator=";")
    assert (rows.columns, good) == (["a", "b"], [(3, ("1", "2"))])
    with pytest.raises(DataError, match=r"the first line says that ';'.*data\.source\.separator is ','"):
        read(path)


def test_comments_are_left_out_where_the_config_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, b'# made by hand\na,b\n1,2\n#3,4\n5,"\n# no comment"\n## x "\n6,7\n')
    rows, good, malformed = read(path, comment="#")
    assert rows.columns == ["a", "b"]
    assert good == [(3, ("1", "2")), (5, ("5", "\n# no comment")), (8, ("6", "7"))]
    assert malformed == []
    with pytest.raises(DataError, match=r"begins with # and has 1 fields.*data\.source\.comment"):
        read(path)


def test_a_file_without_header(tmp_path: Path) -> None:
    path = written(tmp_path, b"51.26,red,1.0\n48.68,blue,1.0\n")
    expected = [(1, ("51.26", "red", "1.0")), (2, ("48.68", "blue", "1.0"))]
    rows, good, _ = read(path, header=False)
    assert (rows.columns, good) == (["column_1", "column_2", "column_3"], expected)
    rows, good, _ = read(path, header=False, names=["amount", "colour", "bought"])
    assert (rows.columns, good) == (["amount", "colour", "bought"], expected)
    with pytest.raises(DataError, match=r"first line has 3 fields; data\.source\.names holds 2"):
        read(path, header=False, names=["amount", "colour"])


def test_equal_names_are_told_apart_by_position(tmp_path: Path) -> None:
    path = written(tmp_path, b"amount,visits,amount,amount\n1,2,3,4\n")
    with pytest.raises(DataError, match=r"'amount' \(3 times\).*data\.source\.repeated_names: number"):
        read(path)
    rows, good, _ = read(path, repeated_names="number")
    assert rows.columns == ["amount", "visits", "amount_2", "amount_3"]
    assert good == [(2, ("1", "2", "3", "4"))]
    with pytest.raises(DataError, match=r"amount_2 is a name already"):
        read(written(tmp_path, b"amount,amount,amount_2\n"), repeated_names="number")
    with pytest.raises(DataError, match=r"looks like a row.*data\.source\.header: false"):
        read(written(tmp_path, b"1.5,1.0,1.0\n2.5,1.0,0.0\n"))


@pytest.mark.parametrize("quoted", [False, True])
def test_a_line_that_is_too_long_is_one_malformed_row(tmp_path: Path, quoted: bool) -> None:
    long = "x" * 5_000
    text = f"a,b\n1,2\n3,{long}\n4,5\n6,{'7' if not quoted else chr(34) + '7' + chr(34)}\n8,{long}"
    path = written(tmp_path, text.encode())
    source = CsvSource(kind="csv", path=str(path))
    for block_bytes in (100, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text_lines, "_BLOCK_BYTES", block_bytes)
            rows = CsvRows(source, path, ReadingLimits(line_characters=1024))
            chunks = list(rows.chunks())
        assert [row for chunk in chunks for row in chunk.frame.rows()] == [("1", "2"), ("4", "5"), ("6", "7")]
        malformed = [row for chunk in chunks for row in chunk.malformed]
        assert [(row.line, row.reason, row.got) for row in malformed] == [
            (3, "length", 5002),
            (6, "length", 5002),
        ]
        assert all(len(row.fields[0]) == text_lines.SHOWN_CHARACTERS for row in malformed)


def test_too_many_columns_are_refused_at_the_header(tmp_path: Path) -> None:
    path = written(tmp_path, (",".join(f"c{place}" for place in range(51)) + "\n").encode())
    with pytest.raises(DataError, match=r"51 fields; data\.limits\.columns allows 50"):
        CsvRows(CsvSource(kind="csv", path="x"), path, ReadingLimits(columns=50))


@pytest.mark.parametrize("last", ["1,2", '1,"2"'])
def test_malformed_rows_beyond_the_limit_are_counted(tmp_path: Path, last: str) -> None:
    path = written(tmp_path, ("a,b\n" + "x\n" * 100 + last + "\n").encode())
    rows = CsvRows(CsvSource(kind="csv", path="x"), path, ReadingLimits(quarantine_rows=7))
    (chunk,) = rows.chunks()
    assert [row.line for row in chunk.malformed] == list(range(2, 9))
    assert chunk.malformed_reasons == {"fields": 100}
    assert chunk.lines.tolist() == [102]


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
        patch.setattr(text_lines, "_BLOCK_BYTES", block_bytes)
        _, good, malformed = read(path)
    assert [row for _, row in good] == rows
    assert malformed == []


PIECE = st.sampled_from(['"', '""', ",", "\n", "\r\n", "#", " ", "x", "ü", "\ufeff", "\0", "\t"])


@given(
    pieces=st.lists(PIECE, max_size=40),
    block_bytes=st.integers(1, 30),
    options=st.fixed_dictionaries(
        {
            "comment": st.sampled_from([None, "#", "#x"]),
            "strip_spaces": st.booleans(),
            "header": st.booleans(),
        }
    ),
)
def test_a_line_is_read_alike_whoever_reads_it(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], block_bytes: int, options: dict[str, object]
) -> None:
    """Where a block begins decides whether Polars or the csv module reads a line: it must not matter."""
    path = written(tmp_path_factory.mktemp("csv"), ("a,b\n" + "".join(pieces)).encode())
    found = []
    for size in (block_bytes, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text_lines, "_BLOCK_BYTES", size)
            rows, good, malformed = read(path, **options)
        found.append((rows.columns, good, malformed, rows.sha256))
    assert found[0] == found[1]


@given(lines=st.lists(st.text(st.sampled_from(",# xü\0\t\ufeff"), max_size=6), max_size=20))
def test_a_quote_far_below_changes_no_row(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    plain = "a,b\n" + "".join(f"{line}\n" for line in lines)
    folder = tmp_path_factory.mktemp("csv")
    _, good, malformed = read(written(folder, plain.encode()))
    _, quoted, also_malformed = read(written(folder, (plain + '"y","z"\n').encode()))
    assert (quoted[:-1], also_malformed) == (good, malformed)
    assert quoted[-1] == (len(lines) + 2, ("y", "z"))
