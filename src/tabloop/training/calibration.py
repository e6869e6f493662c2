"""From a classifier's score to a probability: sigmoid and isotonic maps and how reliable they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class SigmoidMap:
    """The probability ``1 / (1 + exp(-(slope * score + intercept)))``."""

    slope: float
    intercept: float

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map scores to probabilities."""
        return np.asarray(expit(self.slope * scores + self.intercept), dtype=np.float64)


@dataclass(frozen=True)
class IsotonicMap:
    """A rising line through knots, constant outside them."""

    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map scores to probabilities."""
        return np.interp(scores, self.knots, self.values)


ScoreMap = SigmoidMap | IsotonicMap


def fit_sigmoid(
    scores: NDArray[np.float64], y_true: NDArray[np.int8], weights: NDArray[np.float64] | None = None
) -> SigmoidMap:
    """Fit a sigmoid to out-of-fold scores.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
        Decision values or probabilities of rows that the classifier was not fitted on.
    y_true : ndarray of shape (n_rows,)
        0 or 1; both occur.
    weights : ndarray of float64, shape (n_rows,), optional
        How much each row counts.

    Returns
    -------
    sigmoid : SigmoidMap
        The maximum likelihood fit of Platt's two parameters [1]_, all but unpenalised.

    References
    ----------
    .. [1] J. Platt, "Probabilistic Outputs for Support Vector Machines", in Advances in Large Margin
       Classifiers, MIT Press, 1999.

    Examples
    --------
    >>> fit_sigmoid(np.array([-2.0, -1.0, 0.5, -0.5, 1.0, 2.0]), np.array([0, 0, 0, 1, 1, 1])).slope > 0
    True
    """
    # Standardised, so that the tiny penalty (which keeps separable scores finite) means the same everywhere
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    regression = LogisticRegression(C=1e6, tol=1e-10, max_iter=10_000)
    regression.fit(((scores - centre) / spread)[:, None], y_true, sample_weight=weights)
    slope = float(regression.coef_[0, 0]) / spread
    return SigmoidMap(slope, float(regression.intercept_[0]) - slope * centre)


def fit_isotonic(
    scores: NDArray[np.float64], y_true: NDArray[np.int8], weights: NDArray[np.float64] | None = None
) -> IsotonicMap:
    """Fit a rising step map to out-of-fold scores by pool adjacent violators.

    Examples
    --------
    >>> fit_isotonic(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1]))
    IsotonicMap(knots=(0.1, 0.2, 0.3, 0.4), values=(0.0, 0.5, 0.5, 1.0))
    """
    regression = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    regression.fit(scores, y_true, sample_weight=weights)
    return IsotonicMap(
        tuple(float(x) for x in regression.X_thresholds_), tuple(float(y) for y in regression.y_thresholds_)
    )


class MappedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier whose scores become probabilities through a map fitted elsewhere.

    Parameters
    ----------
    classifier : fitted scikit-learn classifier
        Gives the scores; see `scores_of`.
    score_map : SigmoidMap or IsotonicMap
        Fitted on out-of-fold scores.
    """

    def __init__(self, classifier: Any, score_map: ScoreMap) -> None:
        self.classifier = classifier
        self.score_map = score_map

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the classifier; the map stays."""
        self.classifier.fit(X, y)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self.classifier, "classes_")

    @property
    def classes_(self) -> NDArray[Any]:
        """The two classes, 0 and 1."""
        return np.asarray(self.classifier.classes_)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Give the probabilities of 0 and 1, shape (n_rows, 2)."""
        positive = self.score_map(scores_of(self.classifier, X))
        return np.column_stack([1.0 - positive, positive])

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Decide at one half; in a stored pipeline a `FixedThresholdClassifier` decides instead."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)


def gives_probabilities(classifier: Any) -> bool:
    """Tell whether a classifier has probabilities of its own."""
    return hasattr(classifier, "predict_proba")


def scores_of(classifier: Any, X: Any) -> NDArray[np.float64]:
    """Score rows: the positive probability, or the decision value where there is none.

    Returns
    -------
    scores : ndarray of float64, shape (n_rows,)
        Higher means more likely positive.

    Raises
    ------
    TypeError
        If the classifier has neither.
    """
    if gives_probabilities(classifier):
        return np.asarray(classifier.predict_proba(X), dtype=np.float64)[:, 1]
    if hasattr(classifier, "decision_function"):
        return np.asarray(classifier.decision_function(X), dtype=np.float64)
    raise TypeError(f"{type(classifier).__name__} has neither predict_proba nor decision_function")
