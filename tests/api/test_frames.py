"""Frames go in as pandas, Polars or Arrow and come out as what they were."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tabloop as tl
from tabloop.api.frames import read_frame
from tabloop.errors import DataError
from tests.api.conftest import Made


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**60), 2**60),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.text(max_size=5),
            st.none() | st.booleans(),
        ),
        max_size=8,
    )
)
def test_pandas_values_arrive_as_they_are_and_missing_ones_as_null(rows: list[tuple[Any, ...]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    frame = pd.DataFrame(
        {
            "whole": pd.array(columns[0], dtype="Int64"),
            "number": pd.Series(columns[1], dtype="float64"),
            "text": pd.Series(columns[2], dtype="object"),
            "flag": pd.array(columns[3], dtype="boolean"),
        }
    )
    found = read_frame(frame).rows
    assert [found[name].to_list() for name in ("whole", "number", "text", "flag")] == columns


def test_moments_and_categories_of_pandas_arrive() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    frame = pd.DataFrame({"at": pd.to_datetime([moment, None]), "where": pd.Categorical(["DE", None])})
    found = read_frame(frame).rows
    assert found["at"].to_list() == [moment, None]
    assert found["where"].to_list() == ["DE", None]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.array([1, None], dtype="int64[pyarrow]"), [1, None]),
        (pd.array(["a", None], dtype="string[pyarrow]"), ["a", None]),
        (
            pd.array([datetime(2026, 1, 1), None], dtype="timestamp[us][pyarrow]"),
            [datetime(2026, 1, 1), None],
        ),
        (np.array([0.5, np.nan], dtype=np.longdouble), [0.5, None]),
        (np.array([0.5, np.nan], dtype=np.float16), [0.5, None]),
        ([Decimal("1.5"), None], [Decimal("1.5"), None]),
        ([True, None], [True, None]),
        ([None, None], [None, None]),
    ],
    ids=lambda value: str(getattr(value, "dtype", "list")),
)
def test_what_pandas_keeps_in_other_ways_arrives_too(values: Any, expected: list[Any]) -> None:
    assert read_frame(pd.DataFrame({"column": values})).rows["column"].to_list() == expected


def test_a_lazy_frame_and_an_arrow_table_are_frames_too() -> None:
    rows = pl.DataFrame({"days": [1, None, 3], "country": ["DE", "US", None]})
    assert read_frame(rows.lazy()).rows.equals(rows)
    given_table = read_frame(rows.to_arrow())
    assert given_table.rows.equals(rows)
    assert isinstance(given_table.answer(rows), pyarrow.Table)


def test_every_problem_of_a_frame_is_named_at_once() -> None:
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "a", 7])  # type: ignore[list-item, unused-ignore]
    with pytest.raises(DataError) as refused:
        read_frame(frame)
    assert "column 7: its name is of type int" in str(refused.value)
    assert "column a: stands there 2 times" in str(refused.value)
    with pytest.raises(DataError, match="column mixed: got values of types int, str"):
        read_frame(pd.DataFrame({"mixed": ["a", 1]}))
    with pytest.raises(DataError, match="got list, expected a pandas, Polars or Arrow frame"):
        read_frame([1, 2])


def test_a_fitted_pipeline_reads_every_kind_of_frame_as_the_model_does(made: Made) -> None:
    model, rows = tl.load(made.folder), made.frame.head(50)
    pipeline, expected = model.as_sklearn(), model.predict_proba(rows)
    for other in (
        rows.convert_dtypes(),
        rows.convert_dtypes(dtype_backend="pyarrow"),
        rows.assign(student_country=rows["student_country"].astype("category")),
        rows.astype({"student_country": "object"}),
        pl.from_pandas(rows),
    ):
        assert (model.predict_proba(other) == expected).all()
        assert np.abs(pipeline.predict_proba(other) - expected).max() < 2e-6


def test_mixed_values_are_named_by_column_wherever_they_are_read(made: Made) -> None:
    rows = made.frame.head(2).astype({"days_on_platform": "object", "student_country": "object"})
    rows.iloc[0, rows.columns.get_loc("days_on_platform")] = "many"
    with pytest.raises(DataError, match="column days_on_platform: got values of types int, str"):
        tl.load(made.folder).as_sklearn().predict(rows)


def test_skore_and_evidently_get_the_frames_that_they_take(made: Made) -> None:
    run, model = tl.Project(made.folder, kind="pandas").champion, tl.load(made.folder)
    test, train = run.rows("test"), run.rows("train")
    assert (len(test), len(train)) == (run.folder.lineage.rows.test, run.folder.lineage.rows.training)
    pipeline, features = model.as_sklearn(), test.drop(columns="purchased")
    assert pipeline.score(features, test["purchased"]) == run.metrics.accuracy
    reference, current = (rows.join(model.decide(rows)) for rows in (train, made.frame))
    assert (
        set(reference.columns) == set(current.columns) == {*made.frame.columns, *model.decide(test).columns}
    )
    assert not reference.isna().to_numpy().any()
