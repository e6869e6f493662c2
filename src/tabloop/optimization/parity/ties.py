"""Rows for which rounding alone decides what k nearest neighbours answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.neighbors import KNeighborsClassifier

from tabloop.optimization.export.classifiers import inner_classifier

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tied_rows(pipeline: Any, frame: pl.DataFrame) -> NDArray[np.bool_]:
    """Tell for which rows rounding alone decides what k nearest neighbours answer.

    Those are the rows whose k-th neighbour and the next one are equally far, and, where near neighbours
    count more, rows that stand on a training row: scikit-learn's own answer depends on how a
    matrix product is added up, and may change with the batch a row is in.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted; any classifier.
    frame : polars.DataFrame with n_rows rows
        Typed rows.

    Returns
    -------
    tied : ndarray of bool, shape (n_rows,)
        False throughout for any classifier but k nearest neighbours.

    Notes
    -----
    Squared distances are computed as :math:`|x|^2 - 2xp + |p|^2`, so they carry an error of
    about `n_features` units in the last place of :math:`|x|^2 + |p|^2`, which counts as a tie.
    """
    classifier = inner_classifier(pipeline[-1])
    if not isinstance(classifier, KNeighborsClassifier):
        return np.zeros(frame.height, dtype=np.bool_)
    x = np.asarray(pipeline[:-1].transform(frame))
    k = classifier.n_neighbors
    more = min(k + 1, len(classifier._fit_X))
    distances, places = classifier.kneighbors(x, more)
    squared = distances**2
    size = np.einsum("ij,ij->i", x, x) + np.einsum("ijk,ijk->ij", *[classifier._fit_X[places]] * 2).max(
        axis=1
    )
    unit = np.finfo(np.float64).eps * size
    tied = np.zeros(frame.height, dtype=np.bool_)
    if more > k:
        tied |= squared[:, k] - squared[:, k - 1] <= 2 * x.shape[1] * unit
    if classifier.weights != "uniform":
        # a distance that should be zero and is not, or so small that its weight is off by 1e-6 of itself
        near = squared[:, :k] <= 1e6 * unit[:, None]
        tied |= (near & (squared[:, :k] > 0)).any(axis=1)
    return tied
