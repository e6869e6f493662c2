"""Let the objective that the business chose find the threshold, and say what each of them promises."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from tabloop.artifacts.documents.metrics import ThresholdReport
from tabloop.artifacts.documents.promise import Consequence, Objective, Prices, Promise
from tabloop.config.business import BusinessConfig
from tabloop.errors import ConfigError
from tabloop.statistics.intervals import exact_interval
from tabloop.statistics.row_marks import RowMarks
from tabloop.training.order_statistics import promise_capacity, promise_recall
from tabloop.training.ranked_rows import RankedRows, rank_rows
from tabloop.training.threshold import calibrate_threshold
from tabloop.training.value_threshold import promise_value

_SHOWN_CUTS = 200


def choose_threshold(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    business: BusinessConfig,
    *,
    marks: RowMarks | None = None,
    scores_saw_labels: bool = False,
) -> ThresholdReport:
    """Choose the threshold by the objective of `business.choose`, and promise what each objective allows.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Labels, 0 or 1; both occur.
    y_proba : array-like of shape (n_rows,)
        Scores in [0, 1] from models that did not see the row.
    business : BusinessConfig
        The objectives that are set, and which of them chooses.
    marks : RowMarks, optional
        Groups and weights of the rows. Their bounds are approximate, and there is one of the precision only.
    scores_saw_labels : bool, default=False
        Whether the scores were fitted to these labels by an isotonic map; see `promise_value`.

    Returns
    -------
    report : ThresholdReport
        When nothing can promise the target, `feasible` is False and the threshold is that of the best
        promise.

    Raises
    ------
    ConfigError
        If rows have groups or weights and another objective than the precision is asked for.
    TooFewRowsError
        If there are no rows or they hold one class only.
    ValueError
        If shapes differ, a label is not 0 or 1, or a score is not a finite number in [0, 1].

    Notes
    -----
    Each promise holds with the confidence by itself, at the threshold that it would choose. They do not hold
    all together, and at the threshold of another objective none of them is promised.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y_proba = rng.random(2000)
    >>> y_true = rng.random(2000) < y_proba
    >>> business = BusinessConfig(choose="recall", target_precision=0.8, target_recall=0.9)
    >>> report = choose_threshold(y_true, y_proba, business)
    >>> report.promise.describe(), round(report.recall, 3)
    ('a recall of 0.9 is promised', 0.917)
    >>> [promise.describe() for promise in report.promises[1:]]
    ['a precision of 0.8 is promised']
    """
    precise = calibrate_threshold(
        y_true,
        y_proba,
        target_precision=business.target_precision,
        confidence=business.confidence,
        marks=marks,
    )
    if marks is not None and marks.count_differently:
        _require_precision_alone(business)
    ranked = rank_rows(y_true, y_proba)
    promises = _promises(ranked, precise.precision_promise, business, scores_saw_labels)
    chosen = promises[business.choose]
    others = (promise for name, promise in promises.items() if name != business.choose)
    told = (chosen, *others)
    path = _consequences(ranked, [each.predicted_positive_rows for each in told])
    if business.choose == "precision":
        return msgspec.structs.replace(precise, promises=told, path=path)
    rows, hits = chosen.predicted_positive_rows, chosen.true_positive_rows
    return ThresholdReport(
        type="fixed_cuts" if business.choose == "costs" else "order_statistic",
        objective=business.choose,
        target_precision=precise.target_precision,
        confidence=precise.confidence,
        threshold=chosen.threshold,
        feasible=chosen.feasible,
        promised_precision=None,
        precision_lower_bound=None,
        precision_observed=hits / rows,
        precision_interval=exact_interval(hits, rows, confidence=business.confidence),
        recall=hits / ranked.positives,
        predicted_positive_rows=rows,
        true_positive_rows=hits,
        positive_rows=ranked.positives,
        n_rows=ranked.n_rows,
        steps=(),
        promises=told,
        path=path,
    )


def _require_precision_alone(business: BusinessConfig) -> None:
    asked = [name for name in ("target_recall", "capacity", "costs") if getattr(business, name) is not None]
    if asked:
        raise ConfigError(
            f"business.{asked[0]}: got a value where rows have groups or weights, expected null: only a "
            "precision can be promised of such rows; leave out data.weight and split rows by hash or "
            "time to promise this"
        )


def _promises(
    ranked: RankedRows, precision: Promise, business: BusinessConfig, scores_saw_labels: bool
) -> dict[Objective, Promise]:
    """Promise what each objective that is set allows."""
    promises: dict[Objective, Promise] = {"precision": precision}
    if business.target_recall is not None:
        promises["recall"] = promise_recall(
            ranked, target_recall=business.target_recall, confidence=business.confidence
        )
    if business.capacity is not None:
        promises["capacity"] = promise_capacity(
            ranked, capacity=business.capacity, confidence=business.confidence
        )
    if business.costs is not None:
        promises["costs"] = promise_value(
            ranked,
            Prices(**business.costs.model_dump()),
            confidence=business.confidence,
            scores_saw_labels=scores_saw_labels,
        )
    return promises


def _consequences(ranked: RankedRows, chosen: list[int]) -> tuple[Consequence, ...]:
    """Say what cuts over the whole range do, spread over the rows and over the positives."""
    by_rows = np.linspace(1, ranked.n_rows, _SHOWN_CUTS // 2)
    by_hits = np.searchsorted(ranked.hits_by_rank, np.linspace(1, ranked.positives, _SHOWN_CUTS // 2)) + 1
    wanted = np.concatenate([by_rows.astype(np.int64), by_hits])
    shown = ranked.cuts[np.searchsorted(ranked.cuts, wanted)]
    return tuple(ranked.consequence(int(rows)) for rows in np.unique(np.append(shown, chosen)))
