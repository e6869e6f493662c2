"""What to do with a promise that no threshold can keep."""

from __future__ import annotations

from tabloop.artifacts.documents.metrics import ThresholdReport
from tabloop.config.config import Config
from tabloop.errors import InfeasibleError

_LESS = {
    "precision": "business.target_precision, business.confidence",
    "recall": "business.target_recall, business.confidence",
    "capacity": "business.capacity, business.confidence",
    "costs": "business.costs, business.confidence",
}


def require_feasible(threshold: ThresholdReport, config: Config) -> None:
    """Raise where the promise cannot be kept and the business wants it kept.

    Raises
    ------
    InfeasibleError
        If so; it names the best promise.
    """
    if not threshold.feasible and config.business.on_infeasible == "fail":
        raise InfeasibleError(_describe(threshold))


def _describe(threshold: ThresholdReport) -> str:
    """Say that the promise cannot be kept, and which one could."""
    promise = threshold.promise
    return (
        f"no threshold can promise {promise.asked} with confidence "
        f"{threshold.confidence:g} on {threshold.n_rows:,} training rows with {threshold.positive_rows:,} "
        f"positives; the best that can be promised is {promise.kept}. "
        f"Ask for less ({_LESS[promise.objective]}), bring more rows, or take the best "
        "(business.on_infeasible: best)."
    )
