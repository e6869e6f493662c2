from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from tabloop.errors import TooFewRowsError
from tabloop.statistics.row_marks import RowMarks
from tabloop.training.folds import assign_folds, forward_folds


@given(n_rows=st.integers(12, 200), n_splits=st.integers(2, 5), seed=st.integers(0, 1000))
def test_where_no_times_are_equal_the_folds_are_scikit_learns(n_rows: int, n_splits: int, seed: int) -> None:
    times = np.random.default_rng(seed).permutation(n_rows)
    folds = forward_folds(times, n_splits)
    in_order = np.argsort(times)
    for fold, (fitted, held) in enumerate(TimeSeriesSplit(n_splits).split(in_order)):
        assert set(np.flatnonzero(folds.fitted_on(fold))) == set(in_order[fitted])
        assert set(np.flatnonzero(folds.held_out(fold))) == set(in_order[held])


@settings(max_examples=50)
@given(times=st.lists(st.integers(0, 30), min_size=60, max_size=200), n_splits=st.integers(2, 4))
def test_each_fold_is_fitted_on_earlier_rows_than_it_scores(times: list[int], n_splits: int) -> None:
    at = np.array(times)
    try:
        folds = forward_folds(at, n_splits)
    except TooFewRowsError:
        return
    for fold in range(n_splits):
        assert at[folds.fitted_on(fold)].max() < at[folds.held_out(fold)].min()
    scored = np.concatenate([np.flatnonzero(folds.held_out(fold)) for fold in range(n_splits)])
    assert sorted(scored) == np.flatnonzero(folds.scored).tolist()  # each of them once


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        (RowMarks(times=np.repeat([1, 2], 30)), "of 2 different times"),
        (RowMarks(times=np.arange(60)), "folds go forward in time, and the rows of fold 1"),
        (RowMarks(groups=np.repeat(np.arange(2, dtype=np.uint64), 30)), "groups are kept in one fold"),
        (RowMarks(groups=np.repeat(np.arange(2, dtype=np.uint64), 30)), "or bring more groups"),
        (RowMarks(weights=np.where(np.arange(60) < 31, 1.0, 0.0)), "no row of class 1 that weighs anything"),
    ],
)
def test_folds_that_cannot_be_fitted_or_scored_are_an_error(marks: RowMarks, words: str) -> None:
    y = np.repeat([0, 1], 30).astype(np.int8)
    with pytest.raises(TooFewRowsError, match=words):
        assign_folds(y, n_splits=3, seed=1, groups=marks.groups, marks=marks)
