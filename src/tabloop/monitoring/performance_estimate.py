"""What precision, recall and ROC-AUC a window has as far as can be told before its labels are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tabloop.config.performance import PerformanceConfig
from tabloop.monitoring.density_ratio import DensityRatio, estimate_density_ratio
from tabloop.monitoring.performance_figures import (
    METRICS,
    PerformanceFigure,
    describe_figures,
    require_rows,
)
from tabloop.monitoring.score_calibration import LabelledScores
from tabloop.monitoring.score_order import ScoreOrder

if TYPE_CHECKING:
    from numpy.typing import NDArray

Method = Literal["weighted", "unweighted"]

# Below this many expected rows of a class a recall or a ranking is a matter of single rows
_LEAST_EXPECTED_ROWS = 5.0
# No feature has this name: the contract refuses it
_SCORE = ""


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
    config: PerformanceConfig,
    *,
    method: Method = "weighted",
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
    config : PerformanceConfig
        The config's `monitoring.performance` section.
    method : {"weighted", "unweighted"}, default="weighted"
        Whether the calibration counts reference rows by how much they look like the window.
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

    The rising fit hugs the labels it was made of, which flatters the order of the rows. So the expected
    ROC-AUC (see `ScoreOrder`) is corrected by what it is off on the weighted reference, where the labels are
    known.

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
    >>> estimate = estimate_performance(reference, window, 0.8, PerformanceConfig())
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
    enough = n_rows >= config.min_rows and n_reference >= config.min_effective_rows
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
        confidence=config.confidence,
    )
    if n_rows < config.min_rows:
        reason = f"{n_rows} rows in the window, expected at least {config.min_rows}"
    elif ratio.effective_rows < config.min_effective_rows:
        reason = (
            f"of {n_reference:,} reference rows as good as {ratio.effective_rows:,.0f} look like the window, "
            f"expected at least {config.min_effective_rows}"
        )
    elif ratio.uncovered_fraction > config.max_uncovered_fraction:
        reason = (
            f"{ratio.uncovered_fraction:.0%} of the window's rows look like next to none of the reference, "
            f"expected at most {config.max_uncovered_fraction:.0%}"
        )
    else:
        labelled = LabelledScores(reference.y_true, reference.y_proba)
        _make_figures(estimate, labelled, window.y_proba, decided, ratio.weights, n_draws, seed)
        return estimate
    estimate.left_out.update(dict.fromkeys(METRICS, reason))
    return estimate


def _make_figures(
    estimate: PerformanceEstimate,
    labelled: LabelledScores,
    y_score: NDArray[np.float64],
    decided: NDArray[np.bool_],
    weights: NDArray[np.float64],
    n_draws: int,
    seed: int,
) -> None:
    order = ScoreOrder(y_score)
    calibration = labelled.fit(weights)
    probability = calibration(y_score)
    n_rows, predicted, positives = len(y_score), int(decided.sum()), float(probability.sum())
    hits = float(probability[decided].sum())
    values = {
        "precision": hits / predicted if predicted else np.nan,
        "recall": hits / positives if positives else np.nan,
        "roc_auc": order.roc_auc(probability) + calibration.roc_auc_excess,
        "accuracy": float(np.where(decided, probability, 1.0 - probability).mean()),
        "positive_rate": positives / n_rows,
    }
    if not predicted:
        estimate.left_out["precision"] = "no row was decided positive"
    few = f"expected in the window, at least {_LEAST_EXPECTED_ROWS:.0f} are needed"
    if n_rows - positives < _LEAST_EXPECTED_ROWS:
        estimate.left_out["roc_auc"] = f"{n_rows - positives:.1f} negatives {few}"
    if positives < _LEAST_EXPECTED_ROWS:
        estimate.left_out.update(dict.fromkeys(("recall", "roc_auc"), f"{positives:.1f} positives {few}"))
    draws = _draw_figures(labelled, weights, order, decided, n_draws, seed)
    tail = (1.0 - estimate.confidence) / 2.0
    for metric in METRICS:
        if metric not in estimate.left_out:
            drawn = draws[metric][~np.isnan(draws[metric])]
            value = float(np.clip(values[metric], 0.0, 1.0))
            low, high = np.clip(np.quantile(drawn, [tail, 1.0 - tail]), 0.0, 1.0)
            estimate.figures[metric] = PerformanceFigure(
                value, min(value, float(low)), max(value, float(high))
            )


def _draw_figures(
    labelled: LabelledScores,
    weights: NDArray[np.float64],
    order: ScoreOrder,
    decided: NDArray[np.bool_],
    n_draws: int,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Draw what the labels may show: another reference, other labels."""
    rng = np.random.default_rng(seed)
    n_rows, n_reference, predicted = len(decided), len(weights), int(decided.sum())
    draws = {metric: np.full(n_draws, np.nan) for metric in METRICS}
    for draw in range(n_draws):
        resampled = weights * np.bincount(rng.integers(0, n_reference, n_reference), minlength=n_reference)
        calibration = labelled.fit(resampled)
        labels = rng.random(n_rows) < calibration(order.distinct)[order.group]
        positives, hits = int(labels.sum()), int((labels & decided).sum())
        if predicted:
            draws["precision"][draw] = hits / predicted
        if positives:
            draws["recall"][draw] = hits / positives
        draws["roc_auc"][draw] = order.roc_auc(labels) + calibration.roc_auc_excess
        draws["accuracy"][draw] = (labels == decided).mean()
        draws["positive_rate"][draw] = positives / n_rows
    return draws
