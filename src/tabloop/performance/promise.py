"""Whether outcomes bear out what the threshold promised, however often one looks: the precision first."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi
from typing import Literal

from tabloop.artifacts.documents.promise import Objective
from tabloop.statistics.intervals import exact_interval
from tabloop.statistics.special import special

Verdict = Literal["refuted", "supported", "undecided"]


@dataclass(frozen=True)
class DecisionCounts:
    """What became of decisions whose outcome is known.

    Attributes
    ----------
    labelled_rows, positive_rows, predicted_positive_rows, true_positive_rows : int
        All of them; those whose outcome is positive; those decided positive; those that are both.
    """

    labelled_rows: int = 0
    positive_rows: int = 0
    predicted_positive_rows: int = 0
    true_positive_rows: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.true_positive_rows <= self.predicted_positive_rows <= self.labelled_rows:
            counts = f"{self.true_positive_rows} of {self.predicted_positive_rows} of {self.labelled_rows}"
            raise ValueError(f"got {counts} rows")

    @property
    def has_both_classes(self) -> bool:
        """Whether both outcomes are among them."""
        return 0 < self.positive_rows < self.labelled_rows


@dataclass(frozen=True)
class PromiseDecision:
    """Whether outcomes bear out what the threshold promised.

    Attributes
    ----------
    verdict : str
        `refuted`, `supported` or `undecided`.
    target_precision, confidence : float
        What was promised, and how sure a verdict is. No precision (None) where another objective chose the
        threshold.
    predicted_positive_rows, true_positive_rows : int
        The run's labelled rows that were decided positive, and those of them that are.
    precision : float or None
        Observed; None without such rows.
    lower_bound, upper_bound : float
        One-sided bounds of what was promised that hold at every look together.
    reason : str
        A sentence that says what the verdict rests on.
    objective : {"precision", "recall", "capacity", "costs"}
        The objective that is promised.
    promised, observed : float or None
        What was promised of it, and what was observed: a precision or recall, positive decisions in 1,000
        rows, or the value of 1,000 rows.
    """

    verdict: Verdict
    target_precision: float | None
    confidence: float
    predicted_positive_rows: int
    true_positive_rows: int
    precision: float | None
    lower_bound: float
    upper_bound: float
    reason: str = ""
    objective: Objective = "precision"
    promised: float | None = None
    observed: float | None = None

    @property
    def what(self) -> str:
        """What was promised, as a noun.

        Examples
        --------
        >>> decide_promise(DecisionCounts(), target_precision=0.9, confidence=0.95).what
        'precision of 0.9'
        """
        match self.objective:
            case "capacity":
                return f"at most {self.promised:g} positive decisions in 1,000 rows"
            case "costs":
                return f"value of {self.promised:.5g} or more of 1,000 rows"
            case _:
                return f"{self.objective} of {self.promised:g}"


def decide_promise(
    all_rows: DecisionCounts,
    latest_window: DecisionCounts | None = None,
    n_windows: int = 0,
    *,
    target_precision: float,
    confidence: float,
) -> PromiseDecision:
    r"""Test the threshold's promise again, on what really happened.

    Parameters
    ----------
    all_rows : DecisionCounts
        All labelled rows of the run.
    latest_window : DecisionCounts, optional
        The latest complete one of consecutive windows of these rows, which do not overlap.
    n_windows : int, default=0
        The number of complete windows.
    target_precision, confidence : float
        The config's `business` section, each in (0, 1).

    Returns
    -------
    decision : PromiseDecision
        Outcomes of one class only leave it undecided: who hands in positives alone has said nothing of the
        others.

    Notes
    -----
    A promise that is kept is called refuted with probability at most :math:`\alpha` = ``1 - confidence``,
    over the whole life of a run and all looks together. Two tests share it. All rows are tested
    sequentially: see `lasting_upper_bound`, at :math:`\alpha / 2`. That test has a long memory, so what turns
    bad after a long good time is found by the other: window `j` has an exact binomial test at level
    :math:`3 \alpha / (\pi j)^2`, which add up to the other half. `supported` has the error
    :math:`\alpha` of its own. `benchmarks/promise_monitoring.py` counts false alarms.

    Examples
    --------
    >>> kept = DecisionCounts(5000, 1200, 1000, 940)
    >>> decide_promise(kept, target_precision=0.9, confidence=0.95).verdict
    'supported'
    >>> positives_alone = DecisionCounts(1200, 1200, 940, 940)
    >>> decide_promise(positives_alone, target_precision=0.9, confidence=0.95).reason
    'all 1,200 known outcomes are positive; outcomes of one class say nothing of the precision'
    """
    hits, rows = all_rows.true_positive_rows, all_rows.predicted_positive_rows
    alpha = 1.0 - confidence
    low = 1.0 - lasting_upper_bound(rows - hits, rows, alpha)
    high = lasting_upper_bound(hits, rows, alpha / 2)
    verdict: Verdict = "undecided"
    seen = f"{hits:,} of {rows:,} positive decisions were right"
    reason = f"{seen}; too few to tell"
    window_high = 1.0
    if latest_window is not None and latest_window.has_both_classes:
        window_high = exact_interval(
            latest_window.true_positive_rows,
            latest_window.predicted_positive_rows,
            confidence=1.0 - 2 * window_level(alpha / 2, n_windows),
        )[1]
    if not all_rows.labelled_rows:
        reason = "no outcome is known"
    elif not all_rows.has_both_classes:
        only = "positive" if all_rows.positive_rows else "negative"
        reason = (
            f"all {all_rows.labelled_rows:,} known outcomes are {only}; outcomes of one class say nothing of "
            "the precision"
        )
    elif high < target_precision:
        verdict, reason = "refuted", f"{seen}, at most {high:.3f}; {target_precision:g} was promised"
    elif latest_window is not None and window_high < target_precision:
        verdict = "refuted"
        reason = (
            f"in the latest window {latest_window.true_positive_rows:,} of "
            f"{latest_window.predicted_positive_rows:,} positive decisions were right, at most "
            f"{window_high:.3f}; {target_precision:g} was promised"
        )
    elif low >= target_precision:
        verdict, reason = "supported", f"{seen}, at least {low:.3f}; {target_precision:g} was promised"
    return PromiseDecision(
        verdict=verdict,
        target_precision=target_precision,
        confidence=confidence,
        predicted_positive_rows=rows,
        true_positive_rows=hits,
        precision=hits / rows if rows else None,
        lower_bound=low,
        upper_bound=high,
        reason=reason,
        promised=target_precision,
        observed=hits / rows if rows else None,
    )


def window_level(alpha: float, number: int) -> float:
    """Give the error that the test of a window may have, so that those of all windows add up to `alpha`.

    Examples
    --------
    >>> round(sum(window_level(0.05, number) for number in range(1, 100_000)), 4)
    0.05
    """
    return 6 * alpha / (pi * number) ** 2


def lasting_upper_bound(hits: int, rows: int, alpha: float) -> float:
    r"""Bound a rate from above so that the bound holds at every look, however many rows come.

    Parameters
    ----------
    hits, rows : int
        Successes among independent trials.
    alpha : float
        Probability, in (0, 1), that the rate ever lies above the bound.

    Returns
    -------
    bound : float
        The bound, in [0, 1]; 1 without rows.

    Notes
    -----
    The rate :math:`p` is above the bound once the evidence that it is lower reaches :math:`1 / \alpha`. That
    evidence is the likelihood ratio against :math:`p`, averaged over a uniform prior on :math:`(0, p)`:

    .. math:: M(p) = \frac{1}{p} \int_0^p \frac{q^k (1 - q)^{n - k}}{p^k (1 - p)^{n - k}} \, dq

    Where :math:`p` or more is the truth, :math:`M` is a supermartingale that begins at 1, so it ever
    reaches :math:`1 / \alpha` with probability at most :math:`\alpha` (Ville) [1]_.

    References
    ----------
    .. [1] H. Robbins, "Statistical Methods Related to the Law of the Iterated Logarithm", Annals of
       Mathematical Statistics 41, 1970.

    Examples
    --------
    >>> round(lasting_upper_bound(850, 1000, 0.025), 3)
    0.889
    """
    if not rows:
        return 1.0
    from scipy.optimize import brentq

    def evidence_left(p: float) -> float:
        a, b = hits + 1.0, rows - hits + 1.0
        share = special().betainc(a, b, p)
        if share <= 0.0:
            return -log(alpha)
        likelihood = special().xlogy(hits, p) + special().xlog1py(rows - hits, -p)
        return float(-log(alpha) - (special().betaln(a, b) + log(share) - log(p) - likelihood))

    low, high = max(hits / rows, 1e-12), 1.0 - 1e-12
    if evidence_left(high) > 0.0:
        return 1.0
    return float(brentq(evidence_left, low, high, xtol=1e-9))
