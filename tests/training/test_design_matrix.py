from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import TypeAdapter
from scipy.sparse import issparse

from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.config.training import Candidate
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.training.calibration import scores_of
from tabloop.training.candidates import build_classifier
from tabloop.training.design_matrix import fit_design_matrix
from tabloop.training.family import family_of
from tabloop.training.preprocessing import build_preprocessor


@pytest.mark.parametrize(
    ("kind", "sparse", "dtype"),
    [
        ("logistic_regression", True, np.float64),
        ("svm", False, np.float64),
        ("k_neighbors", False, np.float64),
        ("decision_tree", False, np.float32),
        ("random_forest", False, np.float32),
    ],
)
def test_each_kind_gets_the_layout_that_suits_it_and_the_figures_stay(
    contract: Contract, students: pl.DataFrame, kind: str, sparse: bool, dtype: Any
) -> None:
    features, y = feature_frame(contract, students), students["purchased"].to_numpy()
    candidate: Any = TypeAdapter(Candidate).validate_python(
        {"kind": kind} | ({"n_estimators": 10} if kind == "random_forest" else {})
    )
    family = family_of(candidate)
    plain = build_preprocessor(PreprocessingConfig(), contract, family)
    expected = plain.fit_transform(features, y)
    preprocessor = build_preprocessor(PreprocessingConfig(), contract, family)
    matrix = fit_design_matrix(preprocessor, candidate, features, y)
    assert issparse(matrix) == sparse
    assert matrix.dtype == dtype
    dense = matrix.toarray() if sparse else matrix
    np.testing.assert_array_equal(dense, expected.astype(dtype))
    assert issparse(preprocessor.transform(features)) == sparse

    as_before: Any = build_classifier(candidate, 7)
    as_before.fit(expected, y)
    now: Any = build_classifier(candidate, 7)
    now.fit(matrix, y)
    np.testing.assert_allclose(
        scores_of(now, preprocessor.transform(features)), scores_of(as_before, expected), atol=1e-4
    )


@pytest.mark.parametrize(("n_countries", "sparse"), [(2, False), (40, True)])
def test_an_svm_gets_sparse_rows_only_where_most_values_are_zero(
    contract: Contract, students: pl.DataFrame, n_countries: int, sparse: bool
) -> None:
    names = [f"{chr(65 + i // 26)}{chr(65 + i % 26)}" for i in range(n_countries)]
    countries = pl.Series("student_country", [names[i % n_countries] for i in range(students.height)])
    students = students.with_columns(countries)
    features, y = feature_frame(contract, students), students["purchased"].to_numpy()
    candidate: Any = TypeAdapter(Candidate).validate_python({"kind": "svm"})
    preprocessor = build_preprocessor(
        PreprocessingConfig(min_category_rows=1), contract, family_of(candidate)
    )
    matrix = fit_design_matrix(preprocessor, candidate, features, y)
    held = np.count_nonzero(matrix.toarray() if issparse(matrix) else matrix) / np.prod(matrix.shape)
    assert (held < 0.5) == sparse == issparse(matrix)
