"""Figures with bootstrap intervals: latencies, throughput, paired ratios, effect size, quality."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tabloop.artifacts.documents.benchmark import Figure, Quality
from tabloop.statistics.scores import require_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The confidence level of every interval in a report.
CONFIDENCE = 0.95
#: Resampled times a row: bounds what the intervals of a large test part cost.
_RESAMPLED_ROWS = 2_000_000


def latency_quantiles(
    rounds: Sequence[NDArray[np.float64]],
    quantiles: Sequence[float],
    *,
    confidence: float,
    seed: int,
    n_resamples: int = 1000,
) -> list[Figure]:
    """Measure quantiles of latencies that were taken in rounds.

    Parameters
    ----------
    rounds : sequence of ndarray of float64
        The latencies of each round's calls, in any unit; no round is empty.
    quantiles : sequence of float
        Each in (0, 1).
    confidence : float
        The confidence level of the two-sided intervals, in (0, 1).
    seed : int
        Fixes the resampling.
    n_resamples : int, default=1000
        Bootstrap resamples.

    Returns
    -------
    figures : list of Figure
        One for each quantile: the least latency that at least this share of the calls did not exceed.

    Notes
    -----
    Calls of one round share the machine's mood, so whole rounds are resampled (cluster bootstrap
    [1]_). A quantile is a latency that occurred, never an interpolation; of fewer than a hundred
    calls the p99 is the slowest one, and no interval reaches beyond what was seen.

    References
    ----------
    .. [1] A. Davison and D. Hinkley, "Bootstrap Methods and their Application", section 3.8,
       Cambridge University Press, 1997.

    Examples
    --------
    >>> latency_quantiles([np.array([1.0, 2.0]), np.array([1.0, 9.0])], [0.5], confidence=0.95, seed=0)
    [Figure(value=1.0, low=1.0, high=1.0)]
    """
    pooled = np.concatenate(list(rounds))
    round_of = np.repeat(np.arange(len(rounds)), [len(each) for each in rounds])
    order = np.argsort(pooled, kind="stable")
    pooled, round_of = pooled[order], round_of[order]
    # row 0 counts every call once: the measured value itself
    counts = np.vstack([np.ones(len(rounds), dtype=np.int64), _round_counts(len(rounds), n_resamples, seed)])
    up_to = np.cumsum(counts[:, round_of], axis=1)
    figures = []
    for quantile in quantiles:
        rank = np.ceil(quantile * up_to[:, -1] - 1e-9)
        found = pooled[np.argmax(up_to >= rank[:, None], axis=1)]
        figures.append(_figure(found[0], found[1:], confidence))
    return figures


def throughput(
    rounds: Sequence[NDArray[np.float64]],
    batch_size: int,
    *,
    confidence: float,
    seed: int,
    n_resamples: int = 1000,
) -> Figure:
    """Measure samples per second from latencies in seconds, taken in rounds.

    Examples
    --------
    >>> throughput([np.array([0.5]), np.array([0.5])], 100, confidence=0.95, seed=0)
    Figure(value=200.0, low=200.0, high=200.0)
    """
    calls = np.array([len(each) for each in rounds], dtype=np.float64)
    seconds = np.array([each.sum() for each in rounds])
    counts = _round_counts(len(rounds), n_resamples, seed)
    value = batch_size * calls.sum() / seconds.sum()
    return _figure(value, batch_size * (counts @ calls) / (counts @ seconds), confidence)


def paired_ratio(
    baseline: NDArray[np.float64],
    other: NDArray[np.float64],
    *,
    confidence: float,
    seed: int,
    n_resamples: int = 1000,
) -> Figure:
    """Say how many times the baseline's time is the other's, round by round.

    Parameters
    ----------
    baseline, other : ndarray of shape (n_rounds,)
        Positive; one typical time of each round, in which both met the same rows and the same machine.
    confidence : float
        The confidence level of the two-sided interval.
    seed : int
        Fixes the resampling.
    n_resamples : int, default=1000
        Bootstrap resamples of the rounds.

    Returns
    -------
    ratio : Figure
        The geometric mean of the rounds' ratios; above 1 the other one is faster.

    Examples
    --------
    >>> paired_ratio(np.array([4.0, 8.0]), np.array([2.0, 4.0]), confidence=0.95, seed=0).value
    2.0
    """
    logs = np.log(baseline / other)
    counts = _round_counts(len(logs), n_resamples, seed)
    return _figure(float(np.exp(logs.mean())), np.exp(counts @ logs / len(logs)), confidence)


def cliffs_delta(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    r"""Measure how far two samples lie apart, by order alone.

    Returns
    -------
    delta : float
        In [-1, 1]: 1 when every value of `first` is above every one of `second`, 0 when neither tends
        to be larger.

    Notes
    -----
    :math:`P(x > y) - P(x < y)` [1]_, in :math:`O(n \log n)`. By convention an absolute value below
    0.147 is negligible, from 0.474 on large.

    References
    ----------
    .. [1] N. Cliff, "Dominance Statistics: Ordinal Analyses to Answer Ordinal Questions",
       Psychological Bulletin 114, 1993.

    Examples
    --------
    >>> cliffs_delta(np.array([3.0, 4.0]), np.array([1.0, 4.0]))
    0.25
    """
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, side="left").sum()
    above = (len(ordered) - np.searchsorted(ordered, first, side="right")).sum()
    return float((below - above) / (len(first) * len(second)))


def measure_quality(
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    threshold: float | None,
    *,
    baseline_proba: NDArray[np.float64] | None = None,
    confidence: float,
    seed: int,
) -> Quality:
    r"""Measure probabilities and the decisions made of them, with bootstrap intervals.

    Parameters
    ----------
    y_true : ndarray of shape (n_rows,)
        0 or 1; both occur.
    y_proba : ndarray of float64, shape (n_rows,)
        Probabilities of 1.
    threshold : float or None
        A row is decided positive where its probability is at least this.
    baseline_proba : ndarray of float64, shape (n_rows,), optional
        scikit-learn's answers to the same rows.
    confidence : float
        The confidence level of the two-sided intervals.
    seed : int
        Fixes the resampling; with the same seed two variants are resampled alike.

    Returns
    -------
    quality : Quality

    Notes
    -----
    Rows are resampled within their class, between 50 and 400 times, fewer for more rows: the cost is
    :math:`O(n \log n)` plus at most about two million rows resampled.

    Examples
    --------
    >>> found = measure_quality(np.array([0, 0, 1, 1]), np.array([0.1, 0.8, 0.7, 0.9]), 0.75,
    ...                         confidence=0.95, seed=0)
    >>> found.roc_auc.value, found.precision.value, found.recall.value
    (0.75, 0.5, 0.5)
    """
    n_resamples = int(np.clip(_RESAMPLED_ROWS // len(y_true), 50, 400))
    weights = _row_weights(np.asarray(y_true, dtype=np.int8).tobytes(), n_resamples, seed)
    roc_auc, auc_resampled = _roc_auc(y_true, y_proba, weights)
    difference = None
    if baseline_proba is not None:
        baseline, baseline_resampled = _roc_auc(y_true, baseline_proba, weights)
        difference = _figure(roc_auc - baseline, auc_resampled - baseline_resampled, confidence)
    precision = recall = None
    if threshold is not None:
        predicted = y_proba >= threshold
        hits = predicted & (y_true == 1)
        n_hits = weights[:, hits].sum(axis=1, dtype=np.float64)
        n_predicted = weights[:, predicted].sum(axis=1, dtype=np.float64)
        positives = int(y_true.sum())
        recall = _figure(hits.sum() / positives, n_hits / positives, confidence)
        if predicted.any():
            with np.errstate(invalid="ignore"):
                precision = _figure(hits.sum() / predicted.sum(), n_hits / n_predicted, confidence)
    return Quality(_figure(roc_auc, auc_resampled, confidence), precision, recall, difference)


def _round_counts(n_rounds: int, n_resamples: int, seed: int) -> NDArray[np.int64]:
    """Draw how often each round is in each resample, shape (n_resamples, n_rounds)."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_rounds, np.full(n_rounds, 1.0 / n_rounds), size=n_resamples)


@lru_cache(maxsize=1)
def _row_weights(labels: bytes, n_resamples: int, seed: int) -> NDArray[np.int16]:
    """Draw how often each row is in each resample, for all variants; the size of each class stays."""
    y_true = np.frombuffer(labels, dtype=np.int8)
    generator = np.random.default_rng(seed)
    weights = np.zeros((n_resamples, len(y_true)), dtype=np.int16)
    for label in (0, 1):
        of_class = np.flatnonzero(y_true == label)
        for resample in range(n_resamples):
            drawn = generator.integers(len(of_class), size=len(of_class))
            weights[resample, of_class] = np.bincount(drawn, minlength=len(of_class))
    weights.flags.writeable = False
    return weights


def _roc_auc(
    y_true: NDArray[np.int8], y_proba: NDArray[np.float64], weights: NDArray[np.int16]
) -> tuple[float, NDArray[np.float64]]:
    """Compute the ROC-AUC of all rows once and of every resample; ties count one half."""
    require_scores(y_true, y_proba)
    positives, negatives = np.flatnonzero(y_true == 1), np.flatnonzero(y_true == 0)
    pairs = len(positives) * len(negatives)
    negatives = negatives[np.argsort(y_proba[negatives], kind="stable")]
    below = np.searchsorted(y_proba[negatives], y_proba[positives], side="left")
    up_to = np.searchsorted(y_proba[negatives], y_proba[positives], side="right")
    value = (below.sum() + up_to.sum()) / 2 / pairs
    # how many negatives of each resample come before the first, before the second, ...: whole numbers, exact
    before = np.zeros((len(weights), len(negatives) + 1), dtype=np.int64)
    np.cumsum(weights.take(negatives, axis=1), axis=1, out=before[:, 1:])
    beaten = before.take(below, axis=1) + before.take(up_to, axis=1)
    return float(value), np.einsum("ij,ij->i", weights.take(positives, axis=1), beaten) / 2 / pairs


def _figure(value: float, resampled: NDArray[np.float64], confidence: float) -> Figure:
    """Take the percentile interval of resampled values; those that are NaN are left out."""
    tail = (1.0 - confidence) / 2
    kept = resampled[~np.isnan(resampled)]
    low, high = np.quantile(kept, [tail, 1.0 - tail]) if len(kept) else (value, value)
    return Figure(float(value), float(low), float(high))
