"""Candidates over the folds: what cross-validation tells apart, and what it does not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from tabloop.artifacts.documents.evaluation import CandidateComparison
from tabloop.artifacts.documents.metrics import Metrics


def compare_candidates(metrics: Metrics) -> tuple[CandidateComparison, ...]:
    """Bound each candidate's ROC-AUC, and its difference to the winner's on the same folds.

    Parameters
    ----------
    metrics : Metrics
        The metrics of the run, with the figures of each fold.

    Returns
    -------
    comparisons : tuple of CandidateComparison
        In the order of the ranking, without candidates that failed.
    """
    ranked = [each for each in metrics.cv_ranking if each.failure is None and each.folds]
    winner = next((each for each in ranked if each.name == metrics.best_model_name), None)
    compared = []
    for each in ranked:
        own = {fold.fold: fold.roc_auc for fold in each.folds}
        others = {} if winner is None else {fold.fold: fold.roc_auc for fold in winner.folds}
        differences = [value - others[fold] for fold, value in own.items() if fold in others]
        compared.append(
            CandidateComparison(
                name=each.name,
                roc_auc=each.roc_auc,
                interval=fold_interval(list(own.values())),
                difference=float(np.mean(differences)) if differences else 0.0,
                difference_interval=None if each is winner else fold_interval(differences),
            )
        )
    return tuple(compared)


def fold_interval(values: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float] | None:
    r"""Bound the mean of a figure over the folds of a cross-validation.

    Parameters
    ----------
    values : sequence of float
        One for each of k folds.
    confidence : float, default=0.95
        Two-sided.

    Returns
    -------
    interval : (float, float) or None
        None for fewer than two folds.

    Notes
    -----
    The folds share most of their training rows, so their variance is too small by itself: the corrected
    resampled t-interval [1]_ multiplies it by :math:`1/k + n_{test}/n_{train}`, which is
    :math:`1/k + 1/(k-1)`.

    References
    ----------
    .. [1] C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.

    Examples
    --------
    >>> [round(end, 3) for end in fold_interval([0.90, 0.91, 0.92, 0.91, 0.90])]
    [0.892, 0.924]
    """
    k = len(values)
    if k < 2:
        return None
    spread = math.sqrt(float(np.var(values, ddof=1)) * (1 / k + 1 / (k - 1)))
    reach = float(stats.t.isf((1 - confidence) / 2, k - 1)) * spread
    middle = float(np.mean(values))
    return middle - reach, middle + reach
