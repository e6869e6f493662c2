from __future__ import annotations

import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tabloop.data.students import BLOCK_ROWS, SCHEMA, generate_students, write_students
from tabloop.errors import DataError

PROJECT = Path(__file__).parents[2]
FIGURES: dict[str, Any] = runpy.run_path(str(PROJECT / "benchmarks" / "students_figures.py"))


def draw(n_rows: int, seed: int = 42, **options: int) -> pl.DataFrame:
    return pl.concat(generate_students(n_rows, seed, **options))


@cache
def bundled() -> pl.DataFrame:
    return draw(BLOCK_ROWS)


@cache
def many() -> pl.DataFrame:
    return draw(300_000, seed=7)


@pytest.mark.parametrize("figure", FIGURES["TARGETS"])
def test_the_bundled_table_has_the_figures_of_the_real_one(figure: str) -> None:
    target, absolute, relative = FIGURES["TARGETS"][figure]
    assert measured(bundled())[figure] == pytest.approx(target, abs=absolute + relative * target)


@pytest.mark.parametrize(
    "figure", [figure for figure in FIGURES["TARGETS"] if not figure.startswith(("max", "duplicate"))]
)
def test_the_figures_do_not_change_with_the_number_of_rows(figure: str) -> None:
    target, absolute, relative = FIGURES["TARGETS"][figure]
    dealt = 1.0 if figure.startswith("rows of") else 0.0  # the last block is cut
    tolerance = absolute + relative * target + dealt * 0.05 * target
    assert measured(many())[figure] == pytest.approx(target, abs=tolerance)


def measured(students: pl.DataFrame) -> dict[str, float]:
    return _measured(id(students), students.height)


@cache
def _measured(_: int, n_rows: int) -> dict[str, float]:
    figures: dict[str, float] = FIGURES["measure_figures"](bundled() if n_rows == BLOCK_ROWS else many())
    return figures


@pytest.mark.parametrize(
    "name",
    [
        "logistic regression",
        "tree",
        "gradient boosting",
        pytest.param("svm", marks=pytest.mark.soak),
        pytest.param("k-nn", marks=pytest.mark.soak),
    ],
)
def test_a_classifier_does_as_well_as_on_the_real_table(name: str) -> None:
    aucs, _ = FIGURES["measure_scores"](bundled(), [name])
    assert aucs[name] == pytest.approx(FIGURES["AUC_TARGETS"][name], abs=FIGURES["AUC_TOLERANCE"])


@pytest.mark.soak
def test_a_forest_does_as_well_and_is_as_precise_at_the_top() -> None:
    aucs, precisions = FIGURES["measure_scores"](bundled(), ["forest"], n_trees=100)
    assert aucs["forest"] == pytest.approx(FIGURES["AUC_TARGETS"]["forest"], abs=FIGURES["AUC_TOLERANCE"])
    assert precisions == pytest.approx(FIGURES["PRECISION_TARGETS"], abs=FIGURES["PRECISION_TOLERANCE"])


def test_every_row_is_possible() -> None:
    students = many()
    assert students.schema == SCHEMA
    assert students.null_count().sum_horizontal().item() == 0
    days, minutes, courses, started, passed, spent, purchased = students.drop("student_country").get_columns()
    assert days.is_between(0, 292).all()
    assert minutes.is_between(0.1, 5312.3).all()
    assert courses.is_between(1, 16).all()
    assert started.is_between(0, 76).all()
    assert passed.is_between(0, started).all()
    assert ((started > 0) == (spent > 0)).all()
    assert spent.is_between(0, 25 * started).all()
    assert purchased.is_in([0, 1]).all()
    np.testing.assert_array_equal(minutes.to_numpy(), minutes.round(1).to_numpy())
    np.testing.assert_array_equal(spent.to_numpy(), spent.round(2).to_numpy())


def test_countries_are_two_letter_codes_and_namibia_is_one() -> None:
    codes = bundled()["student_country"]
    assert codes.str.contains("^[A-Z]{2}$").all()
    assert (codes == "NA").sum() == 6


@pytest.mark.parametrize("n_rows", [1, 100, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS])
def test_fewer_rows_are_the_first_of_more(n_rows: int) -> None:
    assert draw(n_rows).equals(draw(3 * BLOCK_ROWS).head(n_rows))


@pytest.mark.parametrize("chunk_rows", [999, BLOCK_ROWS, 20_000, 50_000, 1_000_000])
def test_the_chunk_size_changes_only_the_chunks(chunk_rows: int) -> None:
    n_rows = 3 * BLOCK_ROWS + 5
    frames = list(generate_students(n_rows, 42, chunk_rows=chunk_rows))
    assert pl.concat(frames).equals(draw(n_rows))
    assert {frame.height for frame in frames[:-1]} <= {chunk_rows}
    assert 1 <= frames[-1].height <= chunk_rows


def test_the_seed_matters_and_so_does_the_block() -> None:
    assert draw(1000).equals(draw(1000))
    assert not draw(1000).equals(draw(1000, seed=43))
    two = draw(2 * BLOCK_ROWS)
    assert not two.head(BLOCK_ROWS).equals(two.tail(BLOCK_ROWS))


def test_the_bundled_file_is_what_the_generator_writes(tmp_path: Path) -> None:
    write_students(tmp_path / "students.csv", BLOCK_ROWS, 42)
    assert (tmp_path / "students.csv").read_bytes() == (PROJECT / "data" / "ml_datasource.csv").read_bytes()


@pytest.mark.parametrize("name", ["students.csv", "students.parquet"])
def test_a_file_holds_what_was_generated(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("what was there before")
    done: list[int] = []
    write_students(path, 300_000, 7, done.append)
    read = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, schema=SCHEMA)
    assert read.equals(many())
    assert done == [250_000, 300_000]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["students.csv", "students.parquet"])
def test_a_failed_write_leaves_the_old_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("what was there before")

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_students(path, 1000, 42, stop)
    assert path.read_text() == "what was there before"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_rows": 0, "seed": 1}, "n_rows: got 0, expected at least 1"),
        ({"n_rows": 1, "seed": -1}, "seed: got -1, expected at least 0"),
        ({"n_rows": 1, "seed": 1, "chunk_rows": 0}, "chunk_rows: got 0, expected at least 1"),
    ],
)
def test_arguments_out_of_range_are_refused_at_once(options: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        generate_students(**options)


def test_the_folder_must_exist_and_the_path_be_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: no such folder"):
        write_students(tmp_path / "none" / "students.csv", 10, 42)
    with pytest.raises(DataError, match="is a folder"):
        write_students(tmp_path, 10, 42)
    with pytest.raises(DataError, match="n_rows: got 0"):
        write_students(tmp_path / "students.csv", 0, 42)
    assert list(tmp_path.iterdir()) == []
