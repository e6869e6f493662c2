"""Choose the decision threshold whose precision can be promised, from out-of-fold scores."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv

from tabloop.artifacts.documents.metrics import ThresholdReport, ThresholdStep
from tabloop.statistics.effective_counts import count_effectively
from tabloop.statistics.row_marks import RowMarks
from tabloop.training.ranked_rows import check_scores

# The walk is measured in positives, so it fits base rates of 0.5% as well as 80%. On the re-splits of
# benchmarks/threshold_promise.py a main start of 0.22 dies more often on its small set, one of 0.5 is past
# the crossing of weaker models; a share of 0.1 for the smaller starts costs less recall than it saves.
_MAIN_START = 0.35
_SMALL_STARTS_SHARE = 0.1
_STEP_OF_ROWS = 0.02
_STEP_OF_POSITIVES = 0.01
_MISSES_TOLERATED_AT_START = 2
_REPORTED_STEPS = 200

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


def calibrate_threshold(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    target_precision: float,
    confidence: float,
    marks: RowMarks | None = None,
) -> ThresholdReport:
    r"""Find the threshold of largest recall whose precision can be promised.

    Only the order of the scores matters, so they need not be calibrated. It does not look for a gap
    between out-of-fold scores and those of a refitted model.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Labels, 0 or 1; both occur.
    y_proba : array-like of shape (n_rows,)
        Scores in [0, 1] from models that did not see the row.
    target_precision : float
        Fraction, in (0, 1), of positive decisions that have to be right.
    confidence : float
        Probability, in (0.5, 1), over the labels drawn, that the promise holds.
    marks : RowMarks, optional
        Groups whose rows depend on each other, and weights. Then no exact bound is valid: the binomial tests
        take effective counts (`count_effectively`), which makes the confidence an approximate one.

    Returns
    -------
    report : ThresholdReport
        When nothing can promise the target, `feasible` is False and the threshold is that of the best
        promise.

    Raises
    ------
    TooFewRowsError
        If there are no rows or they hold one class only.
    ValueError
        If shapes differ, a label is not 0 or 1, a score is not a finite number in [0, 1], or the target
        or the confidence is out of range.

    Notes
    -----
    A cut takes the `k` highest scores. With `x` positives among them, "its precision is below the target
    `q`" is refuted at level `a` when :math:`P(\mathrm{Bin}(k, q) \ge x) \le a`, which is when the
    Clopper-Pearson bound [2]_ at `a` reaches `q`. The cuts are tested from few to many rows, in steps of
    2% of their rows or 1% of the positives, whichever is less. As in learn-then-test [1]_ a cut that
    passes hands its level on to the next in full and one that fails loses it, so many cuts cost no more
    than one.

    A plain fixed sequence dies for good on one unlucky small set. Here the error budget
    :math:`\alpha` = 1 - confidence enters at several starts, which makes it the fallback procedure [3]_:
    90% at the cut of 0.35 rows per positive, 10% evenly at 1/2, 1/4, 1/8, ... of that, down to a cut that
    bears two misses. If the small cuts pass, their share joins the main one and nothing was lost; if the
    main start fails, they still promise something. The answer is the cut of largest recall among those that
    passed, and of equal recalls the one of fewest rows: with the stated confidence all that passed keep the
    promise, so any choice among them does. The cuts depend on the number of rows and of positives, the
    target, the confidence and which scores tie; on no label beyond that count.

    *Why it is valid.* Given the scores, labels are independent, each with its own probability, and the
    mean of these over a cut is its precision; for such sums the binomial test stays valid [4]_ (at levels
    below 1/4). Let :math:`w_j` be the budget entering at cut `j`. Up to the first false pass, the level at
    a cut `j` of too low precision is at most :math:`a_j`, the sum of the :math:`w_i` after the last cut
    before it that is also too low, up to `j`. So a false pass needs some such `j` whose bound at
    :math:`a_j` exceeds its precision, and that has probability at most :math:`\sum_j a_j \le \alpha`.

    *Infeasible.* Then no start passed with its own budget, and the best promise is the largest bound among
    the starts, each at its own :math:`w_j`. A false one needs the bound at :math:`w_j \le a_j` to exceed
    the precision: an event counted above. One budget so covers both outcomes.

    Two things are outside this argument: the count of positives is taken as given, and out-of-fold scores
    stand in for those of one model that saw none of the rows. `benchmarks/threshold_promise.py` measures
    what they are worth, the first by simulation with known truth, the second by re-splits of real data.

    A threshold is the middle of the gap below its cut. Where two scores are adjacent floats there is no
    such number and the cut above is taken; ties are never split. Sorting dominates the cost: O(n log n).

    References
    ----------
    .. [1] A. N. Angelopoulos, S. Bates, E. J. Candès, M. I. Jordan, L. Lei, "Learn then Test: Calibrating
       Predictive Algorithms to Achieve Risk Control", arXiv:2110.01052, 2021.
    .. [2] C. J. Clopper, E. S. Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of
       the Binomial", Biometrika 26, 1934.
    .. [3] B. L. Wiens, A. Dmitrienko, "The Fallback Procedure for Evaluating a Single Family of Hypotheses",
       Journal of Biopharmaceutical Statistics 15, 2005.
    .. [4] W. Hoeffding, "On the Distribution of the Number of Successes in Independent Trials", Annals of
       Mathematical Statistics 27, 1956.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y_proba = rng.random(2000)
    >>> y_true = rng.random(2000) < y_proba
    >>> report = calibrate_threshold(y_true, y_proba, target_precision=0.8, confidence=0.95)
    >>> report.feasible, report.predicted_positive_rows, report.true_positive_rows
    (True, 732, 606)
    >>> round(report.precision_observed, 3), round(report.recall, 3)
    (0.828, 0.601)
    >>> bool(report.true_positive_rows == y_true[y_proba >= report.threshold].sum())
    True
    """
    if not 0.0 < target_precision < 1.0:
        raise ValueError(f"target_precision: got {target_precision}, expected a number between 0 and 1")
    if not 0.5 < confidence < 1.0:
        raise ValueError(f"confidence: got {confidence}, expected a number between 0.5 and 1")
    labels, scores = check_scores(y_true, y_proba)
    order = np.argsort(scores)[::-1]
    scores = scores[order]
    evidence = _count(labels[order], RowMarks() if marks is None else marks.take(order))
    positives = int(labels.sum())

    rows, budget = _lay_out(
        scores, positives, target_precision, 1.0 - confidence, most=evidence.most_rows(target_precision)
    )
    at = rows - 1
    hits, trials, found = evidence.hits[at], evidence.trials[at], evidence.weighted_hits[at]
    level, passed = _walk(_p_value(hits, trials, target_precision), budget)
    feasible = bool(passed.any())
    if feasible:
        # of equal recalls the strictest cut
        chosen = int(np.flatnonzero(passed & (found == found[passed][-1]))[0])
        bound = max(target_precision, float(_lower_bound(hits, trials, level)[chosen]))
    else:
        promises = np.where(budget > 0, _lower_bound(hits, trials, budget), -1.0)
        chosen = len(rows) - 1 - int(np.argmax(promises[::-1]))  # of equal promises the cut of more rows
        bound = float(promises[chosen])
    tail = np.array((1.0 - confidence) / 2.0)
    report = ThresholdReport(
        target_precision=float(target_precision),
        confidence=float(confidence),
        threshold=_threshold_below(scores, int(rows[chosen])),
        feasible=feasible,
        promised_precision=float(target_precision) if feasible else bound,
        precision_lower_bound=bound,
        precision_observed=float(evidence.share[at[chosen]]),
        precision_interval=(
            float(_lower_bound(hits[chosen], trials[chosen], tail)),
            # The misses of one class are the hits of the other.
            1.0 - float(_lower_bound(trials[chosen] - hits[chosen], trials[chosen], tail)),
        ),
        recall=float(found[chosen] / evidence.weighted_hits[-1]),
        predicted_positive_rows=int(rows[chosen]),
        true_positive_rows=int(np.count_nonzero(labels[order][: rows[chosen]])),
        positive_rows=positives,
        n_rows=len(scores),
        steps=_steps(scores, rows, evidence, level, passed, chosen),
    )
    return _describe_bound(report, evidence, marks, int(at[chosen]))


class _Evidence(NamedTuple):
    """What the first row, the first two, ... say: counts where each is an independent row like any other."""

    hits: _Floats | _Ints
    trials: _Floats | _Ints
    weighted_hits: _Floats | _Ints
    weight: _Floats | _Ints
    units: _Ints | None = None

    @property
    def share(self) -> _Floats:
        return np.asarray(self.weighted_hits / self.weight, dtype=np.float64)

    def most_rows(self, target: float) -> int:
        """With more rows the precision is below the target even if every positive is among them."""
        return int(np.searchsorted(self.weight, self.weighted_hits[-1] / target, side="right"))


def _count(labels: NDArray[np.bool_], marks: RowMarks) -> _Evidence:
    if not marks.count_differently:
        hits = np.cumsum(labels, dtype=np.int64)
        rows = np.arange(1, len(labels) + 1)
        return _Evidence(hits, rows, hits, rows)
    counts = count_effectively(labels, marks)
    weight = np.maximum(counts.weight, np.finfo(np.float64).tiny)  # the first rows may weigh nothing
    return _Evidence(counts.hits, counts.trials, counts.weighted_hits, weight, counts.units)


def _describe_bound(
    report: ThresholdReport, evidence: _Evidence, marks: RowMarks | None, at: int
) -> ThresholdReport:
    """Say what stands behind a bound that is not exact."""
    if marks is None or evidence.units is None:
        return report
    return msgspec.structs.replace(
        report,
        bound="korn_graubard",
        effective_rows=float(evidence.trials[at]),
        predicted_positive_groups=None if marks.groups is None else int(evidence.units[at]),
    )


def _lay_out(
    scores: _Floats, positives: int, target: float, alpha: float, *, most: int
) -> tuple[_Ints, _Floats]:
    """Give the cuts in the order of the walk and the error budget that enters at each."""
    least = _least_rows(positives, target, alpha)
    most = max(least, min(len(scores), most))
    ranks, starts = [least], [max(least, round(_MAIN_START * positives))]
    while ranks[-1] < most:
        step = min(_STEP_OF_ROWS * ranks[-1], _STEP_OF_POSITIVES * positives)
        ranks.append(min(most, ranks[-1] + max(1, round(step))))
    while starts[-1] // 2 >= least:
        starts.append(starts[-1] // 2)
    shares = np.full(len(starts), alpha)
    if len(starts) > 1:
        shares[0] *= 1.0 - _SMALL_STARTS_SHARE
        shares[1:] *= _SMALL_STARTS_SHARE / (len(starts) - 1)

    cuts = _usable_cuts(scores)
    above_start = cuts[np.searchsorted(cuts, least) :]
    wanted = np.unique(np.array(ranks + starts))
    held = cuts[np.maximum(np.searchsorted(cuts, wanted, side="right") - 1, 0)]
    # A cut of fewer rows than any start needs would only lose the budget.
    rows = np.unique(held[(held >= least) & (held <= most)])
    if len(rows) == 0:
        rows = above_start[:1]
    # A start inside a tie moves to the cut of fewer rows, or of more where there is none.
    entry = np.maximum(np.searchsorted(rows, np.array(starts), side="right") - 1, 0)
    budget = np.zeros(len(rows))
    np.add.at(budget, entry, shares)
    return rows, budget


def _usable_cuts(scores: _Floats) -> _Ints:
    """Give the row counts, ascending, below which a threshold fits; all rows is always one."""
    upper, lower = scores[:-1], scores[1:]
    middle = (upper + lower) / 2.0
    return np.append(np.flatnonzero((lower < middle) & (middle < upper)) + 1, len(scores))


def _threshold_below(scores: _Floats, rows: int) -> float:
    if rows < len(scores):
        return float((scores[rows - 1] + scores[rows]) / 2.0)
    # All rows: midway between the lowest score and 0, or below 0 where a score of 0 leaves no room.
    return float(scores[-1] / 2.0) if scores[-1] > 0.0 else -0.5


def _least_rows(positives: int, target: float, alpha: float) -> int:
    """Give the smallest cut worth a start: it bears two misses, or as many as the positives allow."""
    two_misses = _rows_that_bear(_MISSES_TOLERATED_AT_START, target, alpha)
    no_miss = _rows_that_bear(0, target, alpha)
    return min(two_misses, max(min(no_miss, positives), positives // 2))


def _rows_that_bear(misses: int, target: float, alpha: float) -> int:
    """Give the fewest rows that refute too low a precision although `misses` of them are negative."""
    low, high = misses, misses + 1
    while _p_value(np.array(high - misses), np.array(high), target) > alpha:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if _p_value(np.array(middle - misses), np.array(middle), target) > alpha:
            low = middle
        else:
            high = middle
    return high


def _walk(p_values: _Floats, budget: _Floats) -> tuple[_Floats, NDArray[np.bool_]]:
    """Test cut after cut; give the level each had and whether it passed."""
    level, passed = np.zeros(len(budget)), np.zeros(len(budget), dtype=np.bool_)
    carried = 0.0
    for cut, (p_value, entering) in enumerate(zip(p_values.tolist(), budget.tolist(), strict=True)):
        level[cut] = carried + entering
        passed[cut] = p_value <= level[cut] and level[cut] > 0.0
        carried = level[cut] if passed[cut] else 0.0
    return level, passed


def _p_value(hits: _Ints | _Floats, rows: _Ints | _Floats, precision: float) -> _Floats:
    """Chance of at least that many hits if each row is one with probability `precision`."""
    tail = betainc(np.where(hits > 0, hits, 1), rows - hits + 1, precision)
    return np.asarray(np.where(hits > 0, tail, 1.0), dtype=np.float64)


def _lower_bound(hits: _Ints | _Floats, rows: _Ints | _Floats, level: _Floats) -> _Floats:
    """One-sided Clopper-Pearson bound, wrong with probability at most `level`."""
    bound = betaincinv(np.where(hits > 0, hits, 1), rows - hits + 1, level)
    return np.asarray(np.where(hits > 0, bound, 0.0), dtype=np.float64)


def _steps(
    scores: _Floats,
    rows: _Ints,
    evidence: _Evidence,
    level: _Floats,
    passed: NDArray[np.bool_],
    chosen: int,
) -> tuple[ThresholdStep, ...]:
    at = rows - 1
    bounds = _lower_bound(evidence.hits[at], evidence.trials[at], level)
    precision, recall = evidence.share[at], evidence.weighted_hits[at] / evidence.weighted_hits[-1]
    shown = np.linspace(0, len(rows) - 1, min(_REPORTED_STEPS, len(rows))).round().astype(np.int64)
    return tuple(
        ThresholdStep(
            threshold=_threshold_below(scores, int(rows[cut])),
            rows=int(rows[cut]),
            precision=float(precision[cut]),
            recall=float(recall[cut]),
            level=float(level[cut]),
            lower_bound=float(bounds[cut]) if level[cut] > 0.0 else None,
            passed=bool(passed[cut]),
        )
        for cut in np.unique(np.append(shown, chosen)).tolist()
    )
