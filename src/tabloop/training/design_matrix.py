"""The matrix that a classifier is fitted on, laid out as its kind likes it best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.compose import ColumnTransformer

from tabloop.config.training import (
    Candidate,
    DecisionTreeCandidate,
    LogisticRegressionCandidate,
    RandomForestCandidate,
    SVMCandidate,
)

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray


def fit_design_matrix(
    preprocessor: ColumnTransformer, candidate: Candidate, features: pl.DataFrame, y: NDArray[np.int8]
) -> Any:
    """Fit the preprocessing and give the matrix of the rows that it was fitted on.

    Parameters
    ----------
    preprocessor : ColumnTransformer
        Of `build_preprocessor`, unfitted; fitted afterwards.
    candidate : Candidate
        Says what the matrix is for.
    features : polars.DataFrame with n_rows rows
        The rows as `feature_frame` gives them.
    y : ndarray of shape (n_rows,)
        Targets.

    Returns
    -------
    matrix : ndarray or sparse matrix, shape (n_rows, n_features)
        Sparse for logistic regression and SVM, whose time grows with what is not zero. Float32 in columns for
        one-hot trees, to which scikit-learn casts anyway, and which read column by column. For k nearest
        neighbours and all others dense: their distances are a product of dense matrices.
    """
    match candidate:
        case LogisticRegressionCandidate() | SVMCandidate():
            preprocessor.set_params(sparse_threshold=1.0)
            return preprocessor.fit_transform(features, y)
        case DecisionTreeCandidate() | RandomForestCandidate():
            # never dense in double precision: at a million rows and a hundred columns that is 800 MB a task
            preprocessor.set_params(sparse_threshold=1.0)
            matrix = preprocessor.fit_transform(features, y)
            preprocessor.set_params(sparse_threshold=0.0)
            preprocessor.sparse_output_ = False  # what its `fit` would set; it is fitted already
            if issparse(matrix):
                return matrix.astype(np.float32).toarray(order="F")
            return np.asfortranarray(matrix, dtype=np.float32)
        case _:
            return preprocessor.fit_transform(features, y)
