from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import polars as pl
import pyarrow as pa
import pytest
from tests.conftest import Workspace
from tests.shown import run_shown_alone

from tabloop.api.model import load
from tabloop.errors import DataError

ANSWERS = ["predicted_purchase_probability", "predicted_purchase", "refused"]


@pytest.fixture
def visits(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of which the contract refuses two."""
    days = pl.when(pl.col("place").is_in([3, 500])).then(-5).otherwise(pl.col("days_on_platform"))
    return rows.with_columns(days_on_platform=days)


@pytest.fixture
def expected(
    trained: Workspace, visits: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> pl.DataFrame:
    """What `tabloop score` gives each of them that is not refused."""
    folder = tmp_path_factory.mktemp("expected")
    visits.write_parquet(folder / "visits.parquet")
    outcome = trained.run("score", str(folder / "visits.parquet"), "--output", str(folder / "scored.parquet"))
    assert outcome.code == 0, outcome.err
    return pl.read_parquet(folder / "scored.parquet")


def test_every_row_of_a_batch_has_an_answer_or_a_reason(
    trained: Workspace, visits: pl.DataFrame, expected: pl.DataFrame
) -> None:
    model = load(trained.model_dir)
    found = model.score_batch(visits)
    assert found.columns == [*visits.columns, *ANSWERS]
    refused = found.filter(pl.col("refused").is_not_null())
    assert refused.select("place", "refused").rows() == [(3, "days_on_platform: range"), (500, "days_on_platform: range")]  # fmt: skip
    assert refused["predicted_purchase"].null_count() == 2
    assert found.filter(pl.col("refused").is_null()).drop("refused").equals(expected)


@pytest.mark.parametrize("as_batch", [False, True])
def test_arrow_keeps_its_types(trained: Workspace, visits: pl.DataFrame, as_batch: bool) -> None:
    table = visits.to_arrow().cast(
        pa.schema([pa.field(f.name, pa.string() if f.type == pa.large_string() else f.type)
                   for f in visits.to_arrow().schema])
    )  # fmt: skip
    given = table.combine_chunks().to_batches()[0] if as_batch else table
    found = load(trained.model_dir).score_batch(given)
    assert isinstance(found, type(given))
    assert found.schema == pa.schema(
        [*given.schema, (ANSWERS[0], pa.float64()), (ANSWERS[1], pa.int8()), (ANSWERS[2], pa.string())]
    )
    assert found.num_rows == visits.height


def test_pandas_keeps_its_types_in_every_batch(trained: Workspace, visits: pl.DataFrame) -> None:
    model = load(trained.model_dir)
    frame = visits.to_pandas()
    found, empty, good = (model.score_batch(each) for each in (frame, frame.head(0), frame.head(2)))
    assert found.dtypes.to_list() == empty.dtypes.to_list() == good.dtypes.to_list()
    assert found.dtypes.to_list()[:-3] == frame.dtypes.to_list()
    assert found["refused"].dropna().to_list() == ["days_on_platform: range"] * 2
    assert found["predicted_purchase"].isna().sum() == 2


def test_columns_that_are_not_the_contracts_are_said(trained: Workspace, visits: pl.DataFrame) -> None:
    model = load(trained.model_dir)
    with pytest.raises(DataError, match="column minutes_watched: missing"):
        model.score_batch(visits.drop("minutes_watched"))
    with pytest.raises(DataError, match=r"has columns named predicted_purchase, .*refused already"):
        model.score_batch(model.score_batch(visits))


@pytest.mark.parametrize(
    ("library", "run"),
    [
        ("polars", partial(run_shown_alone, "docs/scale.md", "import polars as pl")),
        ("duckdb", partial(run_shown_alone, "docs/scale.md", "import duckdb")),
        ("dask", partial(run_shown_alone, "docs/scale.md", "import dask.dataframe")),
        ("pyspark", partial(run_shown_alone, "docs/scale.md", "from pyspark.sql import")),
    ],
    ids=["polars", "duckdb", "dask", "pyspark"],
)
def test_the_page_shows_what_runs_in_other_engines(
    trained_copy: Workspace,
    visits: pl.DataFrame,
    expected: pl.DataFrame,
    library: str,
    run: Callable[..., str],
) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    visits.write_parquet(trained_copy.folder / "visits.parquet")
    run(trained_copy.folder, environ={"PYSPARK_PYTHON": sys.executable})
    (answered,) = trained_copy.folder.glob("answered*")
    parts = list(answered.glob("*.parquet")) if answered.is_dir() else [answered]
    found = pl.concat([pl.read_parquet(part).select(expected.columns) for part in parts])
    found = found.drop_nulls("predicted_purchase").sort("place")
    assert found.cast({"predicted_purchase": pl.Int8}).equals(expected)
