"""What precision, recall and ROC-AUC a window has as far as can be told before its labels are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tabloop.config.performance import PerformanceConfig
from tabloop.performance.density_ratio import DensityRatio, estimate_density_ratio
from tabloop.performance.figures import METRICS, PerformanceFigure, require_rows
from tabloop.performance.score_calibration import LabelledScores
from tabloop.performance.score_order import ScoreOrder
from tabloop.statistics.related_features import most_related

if TYPE_CHECKING:
    from numpy.typing import NDArray

Method = Literal["weighted", "unweighted"]

# Below this many expected rows of a class a recall or a ranking is a matter of single rows
_LEAST_EXPECTED_ROWS = 5.0
#: A window of fewer rows is not estimated.
MIN_ROWS = 100
#: The number of reference rows that have to look like the window, after weighting.
MIN_EFFECTIVE_ROWS = 300
#: No larger fraction of a window may look like next to nothing in the reference.
_MAX_UNCOVERED_FRACTION = 0.1
# Of a wide table so many features, those that tell most about the score, weigh the reference
_MOST_FEATURES = 40
# No feature has this name: the contract refuses it
_SCORE = ""


@dataclass(frozen=True)
class RatedRows:
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
        Those of `METRICS` that could be made; the interval is for what the labels of these rows will show.
    long_run : dict of str to PerformanceFigure
        The same values; the interval is for what many more rows of this kind would show. It is the one to
        hold against another figure of many rows, such as that at release.
    left_out : dict of str to str
        The others, and why.
    confidence : float
        The confidence level of the two-sided intervals.
    """

    method: Method
    rows: int
    reference_rows: int
    predicted_positive_rows: int
    effective_rows: float
    uncovered_fraction: float
    confidence: float
    figures: dict[str, PerformanceFigure] = field(default_factory=dict)
    long_run: dict[str, PerformanceFigure] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def estimate_performance(
    reference: RatedRows,
    window: RatedRows,
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
    reference, window : RatedRows
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
    reference row by the ratio of the two densities at it [2]_; see `estimate_density_ratio`. Of more than 40
    features those count that tell most about the score, and the score itself: what tells nothing about it
    moves no probability, and time and memory would grow with the square of the features.

    The rising fit hugs the labels it was made of, which flatters the order of the rows. So the expected
    ROC-AUC (see `ScoreOrder`) is corrected by what it is off on the weighted reference, where the labels are
    known.

    Each draw behind the intervals resamples the reference and calibrates again. Then it draws labels for the
    rows of the window and measures them (`figures`), or resamples those rows and takes their expectation
    (`long_run`). The weights are taken as given.

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
    >>> reference = RatedRows({"x": y_proba}, {}, y_proba, y_true)
    >>> window = RatedRows({"x": y_proba[:1000]}, {}, y_proba[:1000])
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
    enough = n_rows >= MIN_ROWS and n_reference >= MIN_EFFECTIVE_ROWS
    ratio = DensityRatio(np.ones(n_reference), float(n_reference), 0.0)
    if method == "weighted" and enough:
        chosen = most_related(reference.numeric, reference.categories, reference.y_proba, _MOST_FEATURES)
        numbers = [name for name in reference.numeric if name in chosen]
        categories = [name for name in reference.categories if name in chosen]
        ratio = estimate_density_ratio(
            {name: reference.numeric[name] for name in numbers} | {_SCORE: reference.y_proba},
            {name: reference.categories[name] for name in categories},
            {name: window.numeric[name] for name in numbers} | {_SCORE: window.y_proba},
            {name: window.categories[name] for name in categories},
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
    if n_rows < MIN_ROWS:
        reason = f"{n_rows} rows in the window, expected at least {MIN_ROWS}"
    elif ratio.effective_rows < MIN_EFFECTIVE_ROWS:
        reason = (
            f"of {n_reference:,} reference rows as good as {ratio.effective_rows:,.0f} look like the window, "
            f"expected at least {MIN_EFFECTIVE_ROWS}"
        )
    elif ratio.uncovered_fraction > _MAX_UNCOVERED_FRACTION:
        reason = (
            f"{ratio.uncovered_fraction:.0%} of the window's rows look like next to none of the reference, "
            f"expected at most {_MAX_UNCOVERED_FRACTION:.0%}"
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
    once = np.ones(len(y_score))
    calibration = labelled.fit(weights)
    probability = calibration(y_score)
    predicted, positives = int(decided.sum()), float(probability.sum())
    if not predicted:
        estimate.left_out["precision"] = "no row was decided positive"
    few = f"expected in the window, at least {_LEAST_EXPECTED_ROWS:.0f} are needed"
    if len(y_score) - positives < _LEAST_EXPECTED_ROWS:
        estimate.left_out["roc_auc"] = f"{len(y_score) - positives:.1f} negatives {few}"
    if positives < _LEAST_EXPECTED_ROWS:
        estimate.left_out.update(dict.fromkeys(("recall", "roc_auc"), f"{positives:.1f} positives {few}"))
    values = _figures_of(order, probability, decided, once, calibration.roc_auc_excess)
    shown, long_run = _draw_figures(labelled, weights, order, decided, n_draws, seed)
    for metric, value in zip(METRICS, values, strict=True):
        if metric not in estimate.left_out:
            column = METRICS.index(metric)
            estimate.figures[metric] = _figure(value, shown[:, column], estimate.confidence)
            estimate.long_run[metric] = _figure(value, long_run[:, column], estimate.confidence)


def _draw_figures(
    labelled: LabelledScores,
    weights: NDArray[np.float64],
    order: ScoreOrder,
    decided: NDArray[np.bool_],
    n_draws: int,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw what the labels of these rows may show, and what many more such rows would."""
    rng = np.random.default_rng(seed)
    n_rows, n_reference = len(decided), len(weights)
    once = np.ones(n_rows)
    shown, long_run = np.empty((2, n_draws, len(METRICS)))
    for draw in range(n_draws):
        resampled = weights * np.bincount(rng.integers(0, n_reference, n_reference), minlength=n_reference)
        calibration = labelled.fit(resampled)
        probability = calibration(order.distinct)[order.group]
        labels = (rng.random(n_rows) < probability).astype(np.float64)
        times = np.bincount(rng.integers(0, n_rows, n_rows), minlength=n_rows).astype(np.float64)
        excess = calibration.roc_auc_excess
        shown[draw] = _figures_of(order, labels, decided, once, excess)
        long_run[draw] = _figures_of(order, probability, decided, times, excess)
    return shown, long_run


def _figures_of(
    order: ScoreOrder,
    probability: NDArray[np.float64],
    decided: NDArray[np.bool_],
    times: NDArray[np.float64],
    roc_auc_excess: float,
) -> tuple[float, ...]:
    """Give the figures of `METRICS` of rows that count some times each; NaN where there is none."""
    positive = probability * times
    rows, positives, predicted = float(times.sum()), float(positive.sum()), float(times[decided].sum())
    hits = float(positive[decided].sum())
    # rows decided negative are right where they are negative
    right = hits + (rows - predicted) - (positives - hits)
    return (
        hits / predicted if predicted else np.nan,
        hits / positives if positives else np.nan,
        order.roc_auc(probability, times) + roc_auc_excess,
        right / rows,
        positives / rows,
    )


def _figure(value: float, draws: NDArray[np.float64], confidence: float) -> PerformanceFigure:
    tail = (1.0 - confidence) / 2.0
    low, high = np.clip(np.quantile(draws[~np.isnan(draws)], [tail, 1.0 - tail]), 0.0, 1.0)
    value = min(1.0, max(0.0, value))
    return PerformanceFigure(value, min(value, float(low)), max(value, float(high)))
