"""What precision, recall and ROC-AUC a window has as far as can be told before its labels are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.stats import rankdata

from tabloop.monitoring.density_ratio import DensityRatio, estimate_density_ratio
from tabloop.monitoring.performance_figures import (
    METRICS,
    PerformanceFigure,
    describe_figures,
    require_rows,
)
from tabloop.monitoring.score_calibration import LabelledScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

Method = Literal["weighted", "unweighted"]

# Below this many expected positives a recall or a ranking is a matter of single rows
_LEAST_EXPECTED_POSITIVES = 5.0
_SCORE = "score"


@dataclass(frozen=True)
class ScoredRows:
    """Rows with the scores that a model gave them.

    Attributes
    ----------
    numeric : mapping of str to ndarray of float64, shape (n_rows,)
        Features by name; NaN where missing.
    categories : mapping of str to ndarray of int, shape (n_rows,)
        Category codes by name; the same code means the same in every window, -1 for missing or new.
    y_proba : ndarray of float64, shape (n_rows,)
        Scores in [0, 1]; for reference rows those of models that did not see them.
    y_true : ndarray of shape (n_rows,), optional
        Labels, 0 or 1; needed of the reference, unknown of a window.
    """

    numeric: Mapping[str, NDArray[np.float64]]
    categories: Mapping[str, NDArray[Any]]
    y_proba: NDArray[np.float64]
    y_true: NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        require_rows(self.y_proba, {**self.numeric, **self.categories}, self.y_true, "rows")


@dataclass(frozen=True)
class PerformanceEstimate:
    """Expected figures of a window whose labels are not known.

    Attributes
    ----------
    method : str
        `weighted` for covariate shift (M-CBPE), or `unweighted` (CBPE).
    rows, reference_rows : int
        Of the window, and of the reference that taught what a score is worth.
    predicted_positive_rows : int
        Rows decided positive.
    effective_rows : float
        Reference rows that speak for this window, after weighting.
    uncovered_fraction : float
        Of the window's rows, those where the reference has next to none.
    figures : dict of str to PerformanceFigure
        Those of `METRICS` that could be made.
    left_out : dict of str to str
        The others, and why.
    confidence : float
        Of the intervals, two-sided.
    """

    method: Method
    rows: int
    reference_rows: int
    predicted_positive_rows: int
    effective_rows: float
    uncovered_fraction: float
    confidence: float
    figures: dict[str, PerformanceFigure] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Describe the estimate as plain JSON values."""
        return vars(self) | {"figures": describe_figures(self.figures)}


def estimate_performance(
    reference: ScoredRows,
    window: ScoredRows,
    threshold: float,
    *,
    method: Method = "weighted",
    confidence: float = 0.99,
    min_rows: int = 100,
    min_effective_rows: int = 300,
    max_uncovered_fraction: float = 0.1,
    n_draws: int = 400,
    seed: int = 0,
) -> PerformanceEstimate:
    r"""Estimate how well a window's decisions are, from calibrated scores alone.

    It sees what follows from other rows arriving (covariate shift). It does not see that equal rows come to
    other outcomes than they used to (concept drift): only labels show that.

    Parameters
    ----------
    reference, window : ScoredRows
        The same features on both sides; the reference with its labels.
    threshold : float
        A row is decided positive where its score is at least this.
    method : {"weighted", "unweighted"}, default="weighted"
        Whether the calibration counts reference rows by how much they look like the window.
    confidence : float, default=0.99
        Of the intervals, two-sided.
    min_rows, min_effective_rows : int
        Least rows of the window, and of the reference after weighting.
    max_uncovered_fraction : float, default=0.1
        Largest fraction of the window that may lie where the reference has next to no rows.
    n_draws : int, default=400
        Draws behind the intervals.
    seed : int, default=0
        Fixes them.

    Returns
    -------
    estimate : PerformanceEstimate
        A figure that cannot be made is left out, with the reason.

    Raises
    ------
    ValueError
        If a side's arrays differ in length, a score is not in [0, 1], or the reference has no labels.

    Notes
    -----
    With :math:`p_i` the calibrated probability of row `i`, decided :math:`d_i`, the expected counts are sums:
    precision :math:`\sum d_i p_i / \sum d_i`, recall :math:`\sum d_i p_i / \sum p_i`, accuracy
    :math:`\frac{1}{n} \sum d_i p_i + (1 - d_i)(1 - p_i)`: confidence-based performance estimation [1]_. Its
    premise, calibration, breaks when rows arrive in other shares. The weighted calibration counts each
    reference row by the ratio of the two densities at it [2]_; see `estimate_density_ratio`.

    Intervals hold what the labels will show, not only their expectation: each draw resamples the
    reference, calibrates again, draws labels from the probabilities and measures them. The weights are taken
    as given.

    References
    ----------
    .. [1] J. Kivimäki, J. Białek, W. Kuberski, J. K. Nurminen, "Performance Estimation in Binary
       Classification Using Calibrated Confidence", arXiv:2505.05295, 2025.
    .. [2] J. Białek, J. Kivimäki, W. Kuberski, N. Perrakis, "Estimating Model Performance Under Covariate
       Shift Without Labels", arXiv:2401.08348, 2024.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y_proba = rng.random(4000)
    >>> y_true = (rng.random(4000) < y_proba).astype(np.int8)
    >>> reference = ScoredRows({"x": y_proba}, {}, y_proba, y_true)
    >>> window = ScoredRows({"x": y_proba[:1000]}, {}, y_proba[:1000])
    >>> estimate = estimate_performance(reference, window, 0.8)
    >>> round(estimate.figures["precision"].value, 1)
    0.9
    """
    if reference.y_true is None:
        raise ValueError("reference.y_true: missing; calibration needs the reference's labels")
    if set(reference.numeric) != set(window.numeric) or set(reference.categories) != set(window.categories):
        raise ValueError(
            f"reference has the features {sorted({*reference.numeric, *reference.categories})}, "
            f"the window {sorted({*window.numeric, *window.categories})}; expected the same"
        )
    decided = window.y_proba >= threshold
    n_rows, n_reference = len(window.y_proba), len(reference.y_proba)
    enough = n_rows >= min_rows and n_reference >= min_effective_rows
    ratio = DensityRatio(np.ones(n_reference), float(n_reference), 0.0, 0.0)
    if method == "weighted" and enough:
        ratio = estimate_density_ratio(
            {**reference.numeric, _SCORE: reference.y_proba},
            reference.categories,
            {**window.numeric, _SCORE: window.y_proba},
            window.categories,
            seed=seed,
        )
    estimate = PerformanceEstimate(
        method=method,
        rows=n_rows,
        reference_rows=n_reference,
        predicted_positive_rows=int(decided.sum()),
        effective_rows=ratio.effective_rows,
        uncovered_fraction=ratio.uncovered_fraction,
        confidence=confidence,
    )
    if n_rows < min_rows:
        reason = f"{n_rows} rows in the window, expected at least {min_rows}"
    elif ratio.effective_rows < min_effective_rows:
        reason = (
            f"of {n_reference:,} reference rows as good as {ratio.effective_rows:,.0f} look like the window, "
            f"expected at least {min_effective_rows}"
        )
    elif ratio.uncovered_fraction > max_uncovered_fraction:
        reason = (
            f"{ratio.uncovered_fraction:.0%} of the window's rows look like next to none of the reference, "
            f"expected at most {max_uncovered_fraction:.0%}"
        )
    else:
        _make_figures(estimate, reference, window.y_proba, decided, ratio.weights, n_draws, seed)
        return estimate
    estimate.left_out.update(dict.fromkeys(METRICS, reason))
    return estimate


def expected_roc_auc(y_score: NDArray[np.float64], probability: NDArray[np.float64]) -> float:
    r"""Expect the ROC-AUC of scores, given each row's probability of being positive.

    Parameters
    ----------
    y_score : ndarray of shape (n_rows,)
        What ranks the rows.
    probability : ndarray of float64, shape (n_rows,)
        Of a 1, independently by row.

    Returns
    -------
    roc_auc : float
        NaN where no pair of a positive and a negative can be.

    Notes
    -----
    The ROC-AUC is the share of pairs (a positive, a negative) in the right order, ties by half [1]_. Over
    ordered pairs of different rows, pair :math:`(i, j)` is such a pair with probability
    :math:`p_i (1 - p_j)`, so this is the ratio of two expectations,

    .. math:: \frac{\sum_{i \ne j} p_i (1 - p_j) ([s_i > s_j] + \frac{1}{2} [s_i = s_j])}
              {\sum_{i \ne j} p_i (1 - p_j)}.

    Sums over groups of equal scores, in ascending order, give both in O(n log n). It differs from the
    expectation of the ratio by O(1/n).

    References
    ----------
    .. [1] D. Bamber, "The Area above the Ordinal Dominance Graph and the Area below the Receiver Operating
       Characteristic Graph", Journal of Mathematical Psychology 12, 1975.

    Examples
    --------
    >>> expected_roc_auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]))
    0.75
    """
    scores, group = np.unique(y_score, return_inverse=True)
    positive = np.bincount(group, weights=probability, minlength=len(scores))
    negative = np.bincount(group, weights=1.0 - probability, minlength=len(scores))
    itself = float((probability * (1.0 - probability)).sum())
    pairs = float(positive.sum() * negative.sum()) - itself
    if pairs <= 1e-12 * max(1.0, float(len(y_score))):
        return float("nan")
    below = np.cumsum(negative) - negative
    right = float((positive * (below + 0.5 * negative)).sum()) - 0.5 * itself
    return min(1.0, max(0.0, right / pairs))


def _make_figures(
    estimate: PerformanceEstimate,
    reference: ScoredRows,
    y_score: NDArray[np.float64],
    decided: NDArray[np.bool_],
    weights: NDArray[np.float64],
    n_draws: int,
    seed: int,
) -> None:
    assert reference.y_true is not None  # noqa: S101 - checked by the caller
    labelled = LabelledScores(reference.y_true, reference.y_proba)
    probability = labelled.fit(weights)(y_score)
    values = {
        "precision": _ratio(probability[decided].sum(), decided.sum()),
        "recall": _ratio(probability[decided].sum(), probability.sum()),
        "roc_auc": expected_roc_auc(y_score, probability),
        "accuracy": float(np.where(decided, probability, 1.0 - probability).mean()),
        "positive_rate": float(probability.mean()),
    }
    if not decided.any():
        estimate.left_out["precision"] = "no row was decided positive"
    for metric, expected in (("recall", probability.sum()), ("roc_auc", probability.sum()),
                             ("roc_auc", (1.0 - probability).sum())):  # fmt: skip
        if expected < _LEAST_EXPECTED_POSITIVES:
            kind = "positives" if expected == probability.sum() else "negatives"
            estimate.left_out[metric] = (
                f"{expected:.1f} {kind} expected in the window, "
                f"expected at least {_LEAST_EXPECTED_POSITIVES:.0f}"
            )
    draws = _draw_figures(labelled, weights, y_score, decided, n_draws, seed)
    tail = (1.0 - estimate.confidence) / 2.0
    for metric in METRICS:
        if metric not in estimate.left_out:
            drawn = draws[metric][~np.isnan(draws[metric])]
            low, high = np.quantile(drawn, [tail, 1.0 - tail])
            value = values[metric]
            estimate.figures[metric] = PerformanceFigure(
                value, min(value, float(low)), max(value, float(high))
            )


def _draw_figures(
    labelled: LabelledScores,
    weights: NDArray[np.float64],
    y_score: NDArray[np.float64],
    decided: NDArray[np.bool_],
    n_draws: int,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Draw what the labels may show: another reference, other labels."""
    rng = np.random.default_rng(seed)
    n_rows, n_reference = len(y_score), len(weights)
    ranks = rankdata(y_score)
    draws = {metric: np.empty(n_draws) for metric in METRICS}
    for draw in range(n_draws):
        resampled = weights * np.bincount(rng.integers(0, n_reference, n_reference), minlength=n_reference)
        labels = rng.random(n_rows) < labelled.fit(resampled)(y_score)
        positives, hits = int(labels.sum()), int((labels & decided).sum())
        draws["precision"][draw] = _ratio(hits, decided.sum())
        draws["recall"][draw] = _ratio(hits, positives)
        draws["roc_auc"][draw] = _ratio(
            ranks[labels].sum() - positives * (positives + 1) / 2.0, positives * (n_rows - positives)
        )
        draws["accuracy"][draw] = (labels == decided).mean()
        draws["positive_rate"][draw] = positives / n_rows
    return draws


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
