from __future__ import annotations

import csv
import io
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import Workspace

from tabloop.config.config import Config
from tabloop.config.data import CsvSource
from tabloop.config.loading import Project, load_project
from tabloop.contract.columns import IntegerColumn, NumberColumn
from tabloop.contract.contract import name_problem
from tabloop.contract.formulas.parser import parse_formula
from tabloop.data.dataset import read_dataset
from tabloop.errors import DataError, TooFewRowsError
from tabloop.guessing.guess import MOST_ROWS, InferredConfig, infer_config
from tabloop.inference.records.codec import RecordCodec


def inferred(file: Path, target: str = "y", positive: str | None = None) -> tuple[InferredConfig, Project]:
    """Infer, load, and read the table through what was inferred."""
    found = infer_config(file, target=target, positive=positive, config_folder=file.parent)
    (file.parent / "config.yaml").write_bytes(found.text.encode())
    project = load_project(file.parent / "config.yaml", environ={})
    dataset = read_dataset(project.config.data, project.contract, project.folder)
    assert dataset.rows_read == found.rows
    assert dataset.quarantine.rows <= project.config.data.max_quarantine_fraction * dataset.rows_read
    assert found.text.count("# guessed: ") == len(found.guesses)
    return found, project


def of_text(
    folder: Path, text: str, encoding: str = "utf-8", **options: Any
) -> tuple[InferredConfig, Project]:
    file = folder / "table.csv"
    file.write_bytes(text.encode(encoding))
    return inferred(file, **options)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_are_found_beside_quoted_ones(tmp_path: Path, separator: str) -> None:
    rows = [f'"a{separator} b; c, d"', "e"]
    text = f"text{separator}y\n" + "".join(
        f"{rows[place % 2]}{separator}{place % 3 % 2}\n" for place in range(20)
    )
    source = of_text(tmp_path, text)[1].config.data.source
    assert isinstance(source, CsvSource)
    assert (source.separator, source.strip_spaces) == (separator, False)


def test_decimal_commas_spaces_and_encodings(tmp_path: Path) -> None:
    rows = "".join(f" {place % 7},5; {place % 5} ; Köln;{place % 2}\n" for place in range(40))
    _, project = of_text(tmp_path, f"größe; zahl ; ort;y\n{rows} ; 3;Bonn;1\n", encoding="cp1252")
    source, columns = project.config.data.source, project.contract.columns
    assert isinstance(source, CsvSource)
    assert (source.strip_spaces, source.encoding) == (True, "cp1252")
    assert columns["größe"] == NumberColumn(
        type="number", minimum=-100, maximum=100, nullable=True, decimal_mark=","
    )
    assert isinstance(columns["zahl"], IntegerColumn)
    assert columns["ort"].model_dump()["categories"] == ("Bonn", "Köln")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    control = "\x81" if encoding == "latin-1" else ""
    text = "größe,y\n" + "".join(
        f"{place % 3 * 5}{control if place == 7 else ''},{place % 2}\n" for place in range(999)
    )
    source = of_text(tmp_path, text, encoding=encoding)[1].config.data.source
    assert isinstance(source, CsvSource)
    assert source.encoding == encoding.removesuffix("-sig")


TARGETS: list[tuple[list[str], str | None, Any, Any]] = [
    (["0", "1", "1"], None, 1, 0),
    (["1.0", "0.0"], None, 1, 0),
    (["true", "False"], None, True, False),
    (["No", "Yes", "Yes"], None, "Yes", "No"),
    (["y", "n", "y"], None, "y", "n"),
    (["alive", "dead", "alive"], None, "dead", "alive"),
    (["alive", "dead", "alive"], "alive", "alive", "dead"),
    (["Alive", "Dead"], "dead", "Dead", "Alive"),
    (["A", "B"], None, "B", "A"),
    (["ja", "nein"], None, "ja", "nein"),
    (["Oui", "Non", "Oui"], None, "Oui", "Non"),
    (["1", "2", "1"], None, "2", 1),
    (["0", "1"], "0", 0, 1),
    (["a: b", "# c"], "# c", "# c", "a: b"),
    (["off", "null"], "null", "null", "off"),
]


@pytest.mark.parametrize(("values", "wanted", "positive", "negative"), TARGETS)
def test_targets(tmp_path: Path, values: list[str], wanted: str | None, positive: Any, negative: Any) -> None:
    rows = "".join(f'{place % 5},"{values[place % len(values)]}"\n' for place in range(32))
    _, project = of_text(tmp_path, f"x,y\n{rows}", positive=wanted)
    target = project.config.data.target
    assert (target.positive, target.negative) == (positive, negative)
    assert (type(target.positive), type(target.negative)) == (type(positive), type(negative))
    loaded = yaml.safe_load((tmp_path / "config.yaml").read_text())  # other YAML readers agree
    assert loaded["data"]["target"]["positive"] == positive


@pytest.mark.parametrize(
    ("name", "published"),
    [("Größe (cm)", "grosse_cm"), ("2nd", "_2nd"), ("購入", "target"), ("visited: ever?", "visited_ever")],
)
def test_prediction_names_are_identifiers(tmp_path: Path, name: str, published: str) -> None:
    rows = "".join(f"{place % 5},{place % 2}\n" for place in range(32))
    _, project = of_text(tmp_path, f'x,"{name}"\n{rows}', target=name)
    assert project.config.data.target.answer_name == published


def test_rows_without_a_target_raise_the_quarantine_limit(tmp_path: Path) -> None:
    rows = "".join(f"{place % 5},{'' if place % 10 == 0 else place % 2}\n" for place in range(200))
    found, project = of_text(tmp_path, f"x,y\n{rows}")
    assert project.config.data.max_quarantine_fraction == 0.12
    assert any("20 rows without a value will be refused" in guess for guess in found.guesses)
    assert "max_quarantine_fraction: 0.12  # guessed: 20 of 200 rows would be refused" in found.text


def test_small_tables_get_small_settings(tmp_path: Path) -> None:
    rows = "".join(f"{place % 5},{int(place % 9 == 0)}\n" for place in range(100))
    _, project = of_text(tmp_path, f"x,y\n{rows}")
    assert project.config.cv.n_splits == 2
    assert project.config.preprocessing.min_category_rows == 5


def test_doubtful_columns_are_kept_where_there_is_nothing_else(tmp_path: Path) -> None:
    rows = "".join(f"{place},{place % 3 % 2}\n" for place in range(30))
    found, project = of_text(tmp_path, f"id,y\n{rows}")
    assert list(project.contract.columns) == ["id"]
    assert "kept, for there is nothing else" in found.text


ERRORS = {
    "a,y\n": "a header and no rows",
    f"a,y\n{'x' * 4_200_000},0\n": r"no rows that can be read \(1 refused, the first in line 2: got .*limits",
    "": "the file is empty",
    "a,Y\n1,0\n": "no column 'y' to predict; did you mean 'Y'?",
    "alpha,beta\n1,0\n": "no column 'y' to predict; no column holds two values, .* are: 'alpha', 'beta'",
    "a,y\n1,0\n2,0\n": r"the target 'y' holds only '0' \(2 rows\); expected two values",
    "a,y\n1,\n2,\n": "the target 'y' holds no value in any row",
    "a,y\n1,u\n2,v\n3,NA\n3,v\n": r"3 values, 'v' \(2 rows\), .* If 'NA' means that it is missing, leave",
    "a,a,a_2,y\n1,2,3,0\n": "a_2 is a name already; rename a column",
    "1.5,2,0\n2.5,3,1\n": r"looks like a file without a header: its first line is 1.5, 2, 0.*--no-header",
    "5,3,1\n2,3,1\n": "looks like a file without a header",
    "5,red,y\n2,red,n\n3,blue,y\n5,blue,n\n": "looks like a file without a header.*column_3` reads it so; or",
    "a,y\n1,500,0\n2,000,1\n7,0\n": "2 of 3 lines cannot be read as rows of 2 fields",
    "a,y\n1,0\n1,1\n": r"no column besides the target to learn from\n  column 'a': it holds only 1",
    "y\n0\n1\n": "no column besides the target",
    'a,y\n"1,0\n2,1\n': "the target 'y' holds only '1'",  # the quote costs its own line
    "a\0b,y\n1,0\n": "holds NUL bytes",
    "PK\x03\x04": "is a zip archive or Excel sheet, expected delimited text",
}


@pytest.mark.parametrize("text", ERRORS, ids=lambda text: ascii(text[:40]))
def test_errors_say_what_is_wrong(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=ERRORS[text]) as caught:
        of_text(tmp_path, text)
    assert str(tmp_path / "table.csv") in str(caught.value)


def test_errors_of_files_and_arguments(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        infer_config(tmp_path / "none.csv", target="y", positive=None, config_folder=tmp_path)
    with pytest.raises(DataError, match="is no file"):
        infer_config(tmp_path, target="y", positive=None, config_folder=tmp_path)
    with pytest.raises(DataError, match="--positive 'maybe' is no value of 'y'; expected one of 'no', 'yes'"):
        of_text(tmp_path, "a,y\n1,yes\n2,no\n", positive="maybe")
    with pytest.raises(DataError, match="--target is empty"):
        of_text(tmp_path, "a,\n1,yes\n2,no\n", target="")
    (tmp_path / "broken.parquet").write_text("no")
    with pytest.raises(DataError, match="not a Parquet file"):
        infer_config(tmp_path / "broken.parquet", target="y", positive=None, config_folder=tmp_path)
    pl.DataFrame({"a": [1], "y": [1]}).head(0).write_parquet(tmp_path / "none.parquet")
    with pytest.raises(TooFewRowsError, match="no rows"):
        infer_config(tmp_path / "none.parquet", target="y", positive=None, config_folder=tmp_path)


def test_parquet_types(tmp_path: Path) -> None:
    n = range(60)
    frame = pl.DataFrame(
        {
            "whole": pl.Series([place % 7 for place in n], dtype=pl.Int32),
            "with_nan": [float("nan") if place % 5 == 0 else place / 3 for place in n],
            "amount": pl.Series([place % 9 for place in n]).cast(pl.Decimal(10, 2)),
            "hash": pl.Series([2**63 + place * 7919 for place in n], dtype=pl.UInt64),
            "flag": [None if place % 8 == 0 else place % 2 == 0 for place in n],
            "kind": pl.Series([("a", "?", "b")[place % 3] for place in n], dtype=pl.Categorical),
            "day": pl.Series([datetime(2026, 1, 1 + place % 28, tzinfo=UTC) for place in n]).dt.date(),
            "digits": [str(place % 4) for place in n],
            "list": [[place] for place in n],
            "nothing": [None for _ in n],
            "infinite": [float("inf") if place == 3 else float(place % 4) for place in n],
            "y": [place % 4 == 0 for place in n],
        }
    )
    file = tmp_path / "table.PQ"
    frame.write_parquet(file)
    found, project = inferred(file)
    types = {name: column.type for name, column in project.contract.columns.items()}
    assert types == {
        "whole": "integer",
        "with_nan": "number",
        "amount": "number",
        "flag": "boolean",
        "kind": "category",
        "digits": "integer",
        "infinite": "number",
    }
    assert project.config.data.ignore == ("hash", "day", "list", "nothing")
    assert project.config.data.source.kind == "parquet"
    assert {name for name, c in project.contract.columns.items() if c.nullable} == {
        "with_nan",
        "flag",
        "kind",
    }
    assert "no column type holds List(Int64)" in found.text
    assert project.config.data.max_quarantine_fraction == 0.02


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Int8, pl.Boolean])
def test_parquet_targets(tmp_path: Path, dtype: Any) -> None:
    frame = pl.DataFrame({"x": [1, 2, 3, 2] * 10, "y": pl.Series([0, 1, 1, 0] * 10).cast(dtype)})
    frame.write_parquet(tmp_path / "t.parquet")
    assert inferred(tmp_path / "t.parquet")[1].config.data.target.positive == 1


def test_targets_of_other_types_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"x": [1, 2], "y": [[1], [0]]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="holds values of type List"):
        infer_config(tmp_path / "t.parquet", target="y", positive=None, config_folder=tmp_path)


def test_the_path_is_relative_below_the_configs_folder_and_absolute_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "a: b.csv"
    file.write_text("x,y\n1,0\n2,1\n3,1\n")
    for folder, expected in ((tmp_path, "data/a: b.csv"), (tmp_path / "elsewhere", str(file))):
        found = infer_config(file, target="y", positive=None, config_folder=folder)
        assert yaml.safe_load(found.text)["data"]["source"]["path"] == expected


def test_only_the_first_million_rows_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tabloop.guessing.guess.MOST_ROWS", 20)
    frame = pl.DataFrame({"x": [place % 5 for place in range(50)], "y": [0, 1] * 25})
    frame.write_csv(tmp_path / "t.csv")
    found = infer_config(tmp_path / "t.csv", target="y", positive=None, config_folder=tmp_path)
    assert found.rows == 20
    assert "20 rows looked at, the first ones" in found.text
    assert MOST_ROWS == 1_000_000


def test_settings_are_the_defaults_unless_guessed(tmp_path: Path) -> None:
    rows = "".join(f"{place % 50},{place % 7},{place % 2}\n" for place in range(5000))
    _, project = of_text(tmp_path, f"x,`z` w,y\n{rows}")
    written = project.config.model_dump()
    sections = {name: written[name] for name in ("data", "contract")}
    defaults = Config.model_validate(sections).model_dump()
    for candidate, changed in (
        ("decision_tree", {"max_depth": 8, "min_samples_leaf": 10}),
        ("random_forest", {"n_estimators": 400, "min_samples_leaf": 2}),
    ):
        defaults["training"]["candidates"][candidate] |= changed
    assert written == defaults
    assert list(written["training"]["candidates"]) == list(defaults["training"]["candidates"])


def test_the_examples_in_comments_can_be_taken_over(tmp_path: Path) -> None:
    rows = "".join(f"{place % 50},{place % 7},{place % 2}\n" for place in range(100))
    found, project = of_text(tmp_path, f"x: 1,`z` w,y\n{rows}")
    lines = found.text.splitlines()
    kinds = {name: column.formula_kind for name, column in project.contract.columns.items()}
    feature = yaml.safe_load(next(line for line in lines if "#   ratio:" in line).partition("# ")[2])
    assert parse_formula(feature["ratio"], kinds, expected="number").columns == ("x: 1", "`z` w")
    (rule,) = yaml.safe_load(next(line for line in lines if "such as: [" in line).partition("such as: ")[2])
    assert parse_formula(rule, kinds, expected="condition").columns == ("x: 1", "`z` w")


NASTY = [
    *(
        "yes",
        "No",
        "null",
        "~",
        "1.5",
        "1e5",
        "0x1F",
        "1_000",
        "a: b",
        "#x",
        "a #b",
        "- y",
        "-",
        "?",
        ":",
        "<<",
        "=",
    ),
    *(
        "{a}",
        "[b]",
        "a,b",
        "'q'",
        '"q"',
        "a\\nb",
        "%d",
        "&a",
        "*a",
        "!t",
        "|",
        ">",
        "@",
        "`",
        "2026-01-31",
        ".nan",
    ),
    *(
        "größe",
        "購入",
        "😀",
        "a\u2028b",
        "a\u0085b",
        "\ufeffx",
        "\u200b",
        "a\tb",
        "a\nb",
        " ",
        "x" * 1100,
        "\x7f",
        "y",
    ),
]
TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=12),
)
VALUES = st.one_of(
    st.integers(-(2**60), 2**60).map(str),
    st.floats(width=32).map(str),
    st.sampled_from(["", "", "NA", "?", "yes", "no", "0", "1", "2026-01-31", "1,5"]),
    TEXTS,
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, str, str]:
    """A table of anything, its separator and its target."""
    names = draw(st.lists(TEXTS, min_size=2, max_size=5, unique_by=str.strip).filter(lambda n: n[0].strip()))
    pools = [draw(st.lists(VALUES, min_size=1, max_size=6)) for _ in names[1:]]
    pair = draw(st.lists(TEXTS.filter(lambda t: t.strip() != ""), min_size=2, max_size=2, unique=True))
    n_rows = draw(st.integers(2, 30))
    rows = [
        [pair[place % 2], *(draw(st.sampled_from(pool)) for pool in pools)]
        for place in range(n_rows)
    ]  # fmt: skip
    separator = draw(st.sampled_from(",;\t|"))
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
        [names, *rows]
    )
    return text.getvalue(), separator, names[0]


@settings(max_examples=60, deadline=None)
@given(tables())
def test_what_is_inferred_always_loads_and_accepts_its_own_table(table: tuple[str, str, str]) -> None:
    text, _, target = table
    with tempfile.TemporaryDirectory() as folder:
        try:
            of_text(Path(folder), text, target=target)
        except DataError as error:
            mendable = (
                "besides the target",
                "the target ",
                "same name",
                "NUL",
                "no column",
                "without a header",
            )
            assert any(reason in str(error) for reason in mendable), error  # noqa: PT017


def test_a_random_typed_table_loads_too(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {name: [place % (7 + i % 20) for place in range(40)] for i, name in enumerate(NASTY) if i < 45}
    )
    frame = frame.with_columns(pl.Series("target", [0, 1, 1, 0] * 10))
    frame.write_parquet(tmp_path / "t.parquet")
    project = inferred(tmp_path / "t.parquet", target="target")[1]
    usable = [name for name in frame.columns if name_problem(name) is None and name != "target"]
    assert list(project.contract.columns) == usable


def test_the_other_choice_of_the_target_is_named(tmp_path: Path) -> None:
    rows = "".join(f"{place % 5},{('links', 'rechts')[place % 2]}\n" for place in range(32))
    found, _ = of_text(tmp_path, f"x,y\n{rows}")
    (said,) = [guess for guess in found.guesses if guess.startswith("target y")]
    assert "'rechts' (16 rows) counts as 1, both being equally common; 'links' (16 rows) as 0" in said
    assert "--positive links makes it the other way round" in said


def test_several_classes_and_numbers_as_target_are_refused_by_name(tmp_path: Path) -> None:
    for values in (["a", "b", "c"], [str(place / 7) for place in range(30)]):
        rows = "".join(f"{place % 5},{values[place % len(values)]}\n" for place in range(60))
        with pytest.raises(DataError, match=r"multi-class\) and numbers \(regression\) are not supported"):
            of_text(tmp_path, f"x,y\n{rows}")


def test_repeated_names_are_told_apart_by_an_option(tmp_path: Path) -> None:
    rows = "".join(f"{place % 7},{place % 5},{place % 3},{place % 2}\n" for place in range(60))
    found, project = of_text(tmp_path, f"a,b,a,y\n{rows}")
    assert list(project.contract.columns) == ["a", "b", "a_2"]
    assert "told apart by position, as name_2: 'a'" in found.text
    _, padded = of_text(tmp_path, f"a,b, a ,y\n{rows}")
    assert list(padded.contract.columns) == ["a", "b", "a_2"]


def test_a_file_without_a_header_is_read_when_asked_to(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "".join(f"{place % 7}.5,{place % 5},{place % 2}\n" for place in range(60))
    )
    found = infer_config(
        tmp_path / "t.csv", target="column_3", positive=None, config_folder=tmp_path, header=False
    )
    (tmp_path / "config.yaml").write_text(found.text)
    project = load_project(tmp_path / "config.yaml", environ={})
    assert list(project.contract.columns) == ["column_1", "column_2"]
    dataset = read_dataset(project.config.data, project.contract, project.folder)
    assert (dataset.rows_read, dataset.quarantine.rows) == (60, 0)


@pytest.mark.parametrize("first", ["sep=;\n", "# made on Monday\n# by hand; again\n"])
def test_what_stands_above_the_header_is_no_header(tmp_path: Path, first: str) -> None:
    rows = "".join(f"{place % 7},5;{place % 5};{place % 2}\n" for place in range(60))
    _, project = of_text(tmp_path, f"{first}a;b;y\n{rows}")
    assert list(project.contract.columns) == ["a", "b"]
    assert project.contract.columns["a"].model_dump()["decimal_mark"] == ","


def test_moments_are_left_out_and_said(tmp_path: Path) -> None:
    rows = "".join(f"2026-01-{place % 28 + 1:02},{place % 5},{place % 2}\n" for place in range(60))
    found, project = of_text(tmp_path, f"since,b,y\n{rows}")
    assert project.config.data.ignore == ("since",)
    assert any(
        guess.startswith("ignored since: a moment, which a model would see") for guess in found.guesses
    )


def test_the_config_says_how_a_formula_can_use_a_moment(tmp_path: Path) -> None:
    rows = "".join(f"{place % 28 + 1}.01.2026,{place % 5},{place % 2}\n" for place in range(60))
    found, _ = of_text(tmp_path, f"since then,b,y\n{rows}")
    commented = next(line for line in found.text.splitlines() if line.lstrip().startswith('# "since then":'))
    text = found.text.replace('    - "since then"', "    - unused")
    text = text.replace(commented, commented.replace("# ", "", 1))
    text = text.replace("  features: {}", "  features: {days: '`since then` / 86400 - 20000'}")
    (tmp_path / "config.yaml").write_text(text)
    project = load_project(tmp_path / "config.yaml", environ={})
    assert project.contract.numeric_features == ("b", "days")
    dataset = read_dataset(project.config.data, project.contract, project.folder)
    assert (dataset.rows_read, dataset.quarantine.rows) == (60, 0)


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("2019,2020,2021,bought", "bought"),
        ("2019,2020,2021,2022", "2022"),
        ("a,b,c,y", "y"),
        ("0,1,2,3", "3"),
    ],
)
def test_a_header_of_numbers_names_columns(tmp_path: Path, header: str, target: str) -> None:
    rows = "".join(f"{place % 7},{place % 5},{place % 3},{place % 2}\n" for place in range(60))
    _, project = of_text(tmp_path, f"{header}\n{rows}", target=target)
    assert list(project.contract.columns) == header.split(",")[:3]


# the small inputs that showed the faults


@pytest.mark.parametrize("target", ["1", "red", "37", "bought"])
def test_a_first_line_like_the_others_is_no_header(tmp_path: Path, target: str) -> None:
    """`headerless.csv`: with its last field as the target's name it went through in silence."""
    rows = "".join(
        f"{40 + place / 7:.2f},{20 + place % 30},{('red', 'green')[place % 2]},{(place + 1) % 2}\n"
        for place in range(60)
    )
    with pytest.raises(DataError, match=r"looks like a file without a header.*--no-header"):
        of_text(tmp_path, f"51.26,37,red,1\n{rows}", target=target)


def test_an_inch_mark_in_an_unquoted_field_costs_no_row(tmp_path: Path) -> None:
    """`inch_quote.csv`: the whole file was refused for the mark of one row."""
    rows = [f"{40 + place % 9},{place % 5},{('red', 'green')[place % 2]},{place % 2}" for place in range(600)]
    rows[299] = '58,3,5" pipe,1'
    text = "\n".join(["amount,visits,size,bought", *rows, ""])
    _, project = of_text(tmp_path, text, target="bought")
    dataset = read_dataset(project.config.data, project.contract, project.folder)
    assert (dataset.frame.height, dataset.quarantine.rows) == (600, 0)
    assert dataset.frame["size"].to_list().count('5" pipe') == 1


def numbers(n_rows: int, seed: int = 5) -> Any:
    return np.random.default_rng(seed).uniform(1_000, 90_000, n_rows)


@pytest.mark.parametrize(
    ("form", "mark"), [("{:,.2f}", {"thousands_mark": ","}), ("{:.2f}", {})], ids=["clothed", "plain"]
)
def test_the_best_column_is_read_whatever_it_wears(tmp_path: Path, form: str, mark: dict[str, str]) -> None:
    """`thousands_many.csv`: `amount` was dropped as an id, being distinct in every row."""
    amounts = numbers(2000)
    text = "amount,visits,bought\n" + "".join(
        f'"{form.format(amount)}",{place % 40},{int(amount > 40_000 + 9_000 * (place % 5 - 2))}\n'
        for place, amount in enumerate(amounts)
    )
    _, project = of_text(tmp_path, text, target="bought")
    column = project.contract.columns["amount"]
    assert isinstance(column, NumberColumn)
    assert {key: getattr(column, key) for key in mark} == mark
    frame = read_dataset(project.config.data, project.contract, project.folder).frame
    assert np.allclose(np.sort(frame["amount"].to_numpy()), np.sort(np.round(amounts, 2)))
    body = b'{"records": [{"amount": 51260.0, "visits": 3}, {"amount": "51,260.00", "visits": 3}]}'
    if mark:  # a stream or a request may write it as the file does
        first, second = RecordCodec(project.contract).decode_records(body)
        assert first == second


def test_decimal_commas_in_quotes_between_commas(tmp_path: Path) -> None:
    """`decimal_comma_in_commas.csv`: a quoted field is unambiguous."""
    text = "amount,bought\n" + "".join(
        f'"{place % 90},{place % 97:02}",{place % 2}\n' for place in range(600)
    )
    _, project = of_text(tmp_path, text, target="bought")
    assert project.contract.columns["amount"].model_dump()["decimal_mark"] == ","


def test_without_a_target_the_columns_of_two_values_are_named_the_plain_ones_first(
    workspace: Workspace,
) -> None:
    n_rows = 60
    columns = {f"limit_{i}": [row * (i + 3) for row in range(n_rows)] for i in range(20)}
    frame = pl.DataFrame(
        {
            "sex": [1 + row % 2 for row in range(n_rows)],
            **columns,
            "default_next_month": [int(row % 3 == 0) for row in range(n_rows)],
            "left": ["yes", "", "no"] * (n_rows // 3),
        }
    )
    frame.write_csv(workspace.folder / "cards.csv")
    outcome = workspace.run("init", "cards.csv", "--config", "cards.yaml")
    assert outcome.code == 2
    assert (
        "3 of 23 columns hold two values: 'default_next_month' (1, 0), 'left' (yes, no), 'sex'" in outcome.err
    )
    wrong = workspace.run("init", "cards.csv", "--target", "zzzzzzz", "--config", "cards.yaml")
    assert "no column 'zzzzzzz' to predict; 3 of 23 columns hold two values" in wrong.err
    frame.select(list(columns)).write_csv(workspace.folder / "cards.csv")
    none = workspace.run("init", "cards.csv", "--config", "cards.yaml")
    assert "no column holds two values, as a target does; those are: 'limit_0'" in none.err
