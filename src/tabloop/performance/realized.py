"""What a window's decisions were worth once their outcomes came, and what that says of the promise."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

from tabloop.performance.estimate import PerformanceEstimate
from tabloop.performance.figures import PerformanceFigure, describe_figures
from tabloop.statistics.intervals import exact_interval, roc_auc, roc_auc_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

BRIER_SCORE = "brier_score"
_UNKNOWN = -1


@dataclass(frozen=True)
class RealizedPerformance:
    """Figures of the labelled part of a window.

    Attributes
    ----------
    rows, labelled_rows : int
        Predictions, and those whose outcome is known.
    positive_rows, predicted_positive_rows, true_positive_rows : int
        Of the labelled ones.
    coverage : float
        `labelled_rows / rows`; 0 without rows. Labels that come sooner for one class than for the other
        bend every figure, and the more the lower this is.
    label_delay_p50_s, label_delay_p90_s : float or None
        From prediction to label, in seconds; None without labels.
    figures : dict of str to PerformanceFigure
        Those of `METRICS` and the Brier score that could be measured.
    left_out : dict of str to str
        The others, and why.
    confidence : float
        Of the intervals, two-sided.
    """

    rows: int
    labelled_rows: int
    positive_rows: int
    predicted_positive_rows: int
    true_positive_rows: int
    coverage: float
    label_delay_p50_s: float | None
    label_delay_p90_s: float | None
    confidence: float
    figures: dict[str, PerformanceFigure] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Describe the report as plain JSON values."""
        return vars(self) | {"figures": describe_figures(self.figures)}


def measure_performance(
    label: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    decided: NDArray[np.bool_],
    *,
    confidence: float,
    label_delay_s: NDArray[np.float64] | None = None,
) -> RealizedPerformance:
    """Measure decisions against the outcomes that are known.

    Parameters
    ----------
    label : ndarray of shape (n_rows,)
        1 or 0; -1 where the outcome is not known.
    y_proba : ndarray of float64, shape (n_rows,)
        The probabilities that were answered.
    decided : ndarray of bool, shape (n_rows,)
        The decisions that were answered.
    confidence : float
        Of the intervals, two-sided, in (0, 1).
    label_delay_s : ndarray of float64, shape (n_rows,), optional
        From prediction to label, in seconds; read only where there is a label.

    Returns
    -------
    performance : RealizedPerformance

    Notes
    -----
    Rates have Clopper and Pearson's exact interval, the ROC-AUC DeLong's on the logit scale (see
    `tabloop.statistics.intervals`), the Brier score Student's for the mean of its squares.

    Examples
    --------
    >>> label = np.array([1, 0, -1, 1, 0], dtype=np.int8)
    >>> y_proba = np.array([0.9, 0.8, 0.7, 0.6, 0.1])
    >>> measured = measure_performance(label, y_proba, y_proba >= 0.5, confidence=0.95)
    >>> measured.coverage, round(measured.figures["precision"].value, 3), measured.figures["recall"].value
    (0.8, 0.667, 1.0)
    """
    if not label.shape == y_proba.shape == decided.shape:
        raise ValueError(f"got shapes {label.shape}, {y_proba.shape} and {decided.shape}, expected one")
    known = label != _UNKNOWN
    y, scores, positive = label[known] == 1, y_proba[known], decided[known]
    n, positives, predicted = len(y), int(y.sum()), int(positive.sum())
    hits = int((y & positive).sum())
    delays = None if label_delay_s is None or not n else np.maximum(label_delay_s[known], 0.0)
    measured = RealizedPerformance(
        rows=len(label),
        labelled_rows=n,
        positive_rows=positives,
        predicted_positive_rows=predicted,
        true_positive_rows=hits,
        coverage=n / len(label) if len(label) else 0.0,
        label_delay_p50_s=None if delays is None else float(np.quantile(delays, 0.5)),
        label_delay_p90_s=None if delays is None else float(np.quantile(delays, 0.9)),
        confidence=confidence,
    )
    rates = {
        "precision": (hits, predicted, "no labelled row was decided positive"),
        "recall": (hits, positives, "no labelled row is positive"),
        "accuracy": (int((y == positive).sum()), n, "no row has a label"),
        "positive_rate": (positives, n, "no row has a label"),
    }
    for metric, (part, whole, reason) in rates.items():
        if n and whole:
            low, high = exact_interval(part, whole, confidence=confidence)
            measured.figures[metric] = PerformanceFigure(part / whole, low, high)
        else:
            measured.left_out[metric] = reason if n else "no row has a label"
    if 0 < positives < n:
        low, high = roc_auc_interval(label[known], scores, confidence=confidence)
        measured.figures["roc_auc"] = PerformanceFigure(roc_auc(label[known], scores), low, high)
    elif n:
        only = "positive" if positives else "negative"
        measured.left_out["roc_auc"] = f"all {n} labelled rows are {only}; a ranking needs both classes"
    else:
        measured.left_out["roc_auc"] = "no row has a label"
    if n:
        measured.figures[BRIER_SCORE] = _mean_figure((scores - y) ** 2, confidence)
    else:
        measured.left_out[BRIER_SCORE] = "no row has a label"
    return measured


def _mean_figure(values: NDArray[np.float64], confidence: float) -> PerformanceFigure:
    mean = float(values.mean())
    if len(values) < 2:
        return PerformanceFigure(mean, 0.0, 1.0)
    reach = float(
        stats.t.isf((1.0 - confidence) / 2.0, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    )
    return PerformanceFigure(mean, max(0.0, mean - reach), min(1.0, mean + reach))


@dataclass(frozen=True)
class PromiseDecision:
    """Whether outcomes bear out the precision that the threshold promised.

    Attributes
    ----------
    verdict : str
        `refuted` where even the upper bound is below the target, `supported` where the lower bound reaches
        it, else `undecided`.
    target_precision, confidence : float
        What was promised, and how sure a verdict is.
    predicted_positive_rows, true_positive_rows : int
        The labelled rows that were decided positive, and those of them that are.
    precision : float or None
        Observed; None without such rows.
    lower_bound, upper_bound : float
        One-sided Clopper-Pearson bounds, each at `confidence`.
    """

    verdict: Literal["refuted", "supported", "undecided"]
    target_precision: float
    confidence: float
    predicted_positive_rows: int
    true_positive_rows: int
    precision: float | None
    lower_bound: float
    upper_bound: float

    def to_dict(self) -> dict[str, Any]:
        """Describe the decision as plain JSON values."""
        return asdict(self)


def decide_promise(
    true_positive_rows: int, predicted_positive_rows: int, *, target_precision: float, confidence: float
) -> PromiseDecision:
    """Test the threshold's promise again, on what really happened.

    Parameters
    ----------
    true_positive_rows, predicted_positive_rows : int
        Of the labelled rows.
    target_precision, confidence : float
        The config's `business` section, each in (0, 1); the confidence above 0.5.

    Returns
    -------
    decision : PromiseDecision

    Notes
    -----
    Each verdict is an exact binomial test: a kept promise is called refuted with probability at most
    ``1 - confidence``, by one look. Looking at many windows, expect that share of them.

    Examples
    --------
    >>> decide_promise(850, 1000, target_precision=0.9, confidence=0.95).verdict
    'refuted'
    >>> decide_promise(9, 10, target_precision=0.9, confidence=0.95).verdict
    'undecided'
    """
    if not 0 <= true_positive_rows <= predicted_positive_rows:
        raise ValueError(f"got {true_positive_rows} of {predicted_positive_rows} rows")
    low, high = exact_interval(true_positive_rows, predicted_positive_rows, confidence=2 * confidence - 1)
    verdict: Literal["refuted", "supported", "undecided"] = "undecided"
    if predicted_positive_rows and high < target_precision:
        verdict = "refuted"
    elif predicted_positive_rows and low >= target_precision:
        verdict = "supported"
    return PromiseDecision(
        verdict=verdict,
        target_precision=target_precision,
        confidence=confidence,
        predicted_positive_rows=predicted_positive_rows,
        true_positive_rows=true_positive_rows,
        precision=true_positive_rows / predicted_positive_rows if predicted_positive_rows else None,
        lower_bound=low,
        upper_bound=high,
    )


@dataclass(frozen=True)
class EstimateScore:
    """How near an estimate came to what its labels showed later.

    Attributes
    ----------
    estimated, realized : float
        The two figures.
    error : float
        The first less the second.
    inside : bool
        Whether the realized figure lies in the estimate's interval.
    """

    estimated: float
    realized: float
    error: float
    inside: bool

    def to_dict(self) -> dict[str, Any]:
        """Describe the score as plain JSON values."""
        return asdict(self)


def score_estimate(estimate: PerformanceEstimate, realized: RealizedPerformance) -> dict[str, EstimateScore]:
    """Hold the label-free estimate against the truth that came later.

    Parameters
    ----------
    estimate : PerformanceEstimate
        Of some rows, made without their labels.
    realized : RealizedPerformance
        Of the same rows. Where some still lack a label, the two speak of different rows: estimate the
        labelled ones alone for a fair comparison.

    Returns
    -------
    scores : dict of str to EstimateScore
        By figure; those that either side left out are not there.
    """
    return {
        metric: EstimateScore(
            estimated=figure.value,
            realized=realized.figures[metric].value,
            error=figure.value - realized.figures[metric].value,
            inside=figure.low <= realized.figures[metric].value <= figure.high,
        )
        for metric, figure in estimate.figures.items()
        if metric in realized.figures
    }
