"""The matrix that a classifier is fitted on, laid out as its kind likes it best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
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

#: An SVM gets sparse rows where fewer of their values than this share are not zero.
_SPARSE_SVM_BELOW = 0.5


def fit_design_matrix(
    preprocessor: ColumnTransformer, candidate: Candidate, features: pl.DataFrame, y: NDArray[np.int8]
) -> Any:
    """Fit the preprocessing and give the matrix of the rows that it was fitted on.

    Parameters
    ----------
    preprocessor : ColumnTransformer
        What `build_preprocessor` gave, not fitted yet; it is fitted afterwards.
    candidate : Candidate
        Says what the matrix is for.
    features : polars.DataFrame with n_rows rows
        The rows as `feature_frame` gives them.
    y : ndarray of shape (n_rows,)
        Targets.

    Returns
    -------
    matrix : ndarray or sparse matrix, shape (n_rows, n_features)
        Sparse for logistic regression, and for an SVM where most values are zero: their time grows with what
        is not zero, but libsvm takes a third more for each of those in a sparse row. Float32 in columns for
        scikit-learn's trees, which cast to it anyway and read column by column. For k nearest neighbours and
        all others dense: their distances are a product of dense matrices.
    """
    match candidate:
        case LogisticRegressionCandidate() | SVMCandidate():
            most = _SPARSE_SVM_BELOW if isinstance(candidate, SVMCandidate) else 1.0
            preprocessor.set_params(sparse_threshold=most)
            return preprocessor.fit_transform(features, y)
        case DecisionTreeCandidate() | RandomForestCandidate():
            return np.asfortranarray(preprocessor.fit_transform(features, y), dtype=np.float32)
        case _:
            return preprocessor.fit_transform(features, y)
