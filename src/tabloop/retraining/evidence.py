"""What is known when it is decided whether to retrain: window after window, and the labels that came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tabloop.artifacts.documents.retraining import RetrainingRecord
from tabloop.drift.tracker import WindowVerdict
from tabloop.drift.zscore_rule import DriftReport
from tabloop.outcomes.index import OutcomeIndex
from tabloop.performance.degradation import DegradationDecision
from tabloop.performance.promise import PromiseDecision

WatchedTrigger = Literal[
    "drift_rule",
    "prediction_shift",
    "windowed_drift",
    "estimated_performance",
    "realized_performance",
    "promise",
]


@dataclass(frozen=True)
class Finding:
    """Whether a trigger held at one look.

    Attributes
    ----------
    holds : bool
        Whether the condition was met.
    words : str
        A sentence that says what was seen.
    """

    holds: bool
    words: str


@dataclass(frozen=True)
class WindowEvidence:
    """What one look at the served rows found.

    Attributes
    ----------
    stop : int
        Rows at the end of the window: since the champion went live, or of a window of labelled predictions
        the labelled ones.
    time : str
        When its last row was logged, ISO 8601 in UTC.
    findings : dict of str to Finding
        By trigger. One that is not there could not be judged: it counts as neither held nor quiet.
    """

    stop: int
    time: str
    findings: dict[WatchedTrigger, Finding] = field(default_factory=dict)


def observe_window(
    stop: int,
    time: str,
    *,
    rule: DriftReport | None = None,
    drift: WindowVerdict | None = None,
    estimated: DegradationDecision | None = None,
    realized: DegradationDecision | None = None,
    promise: PromiseDecision | None = None,
) -> WindowEvidence:
    """Put together what one look found; what is left out was not looked at.

    Parameters
    ----------
    stop, time : int, str
        The end and the time of the window; see `WindowEvidence`.
    rule : DriftReport, optional
        The z-score rule on the latest `monitoring.window_rows` rows.
    drift : WindowVerdict, optional
        Of the window. Of one that is not complete only an alarm says something.
    estimated, realized : DegradationDecision, optional
        Of the window, without labels and with them. One that compared no figure says nothing.
    promise : PromiseDecision, optional
        The promise tested on all outcomes of the run; an undecided one says nothing.

    Returns
    -------
    evidence : WindowEvidence

    Examples
    --------
    >>> promise = PromiseDecision("refuted", 0.9, 0.95, 1000, 850, 0.85, 0.83, 0.868, "too few were right")
    >>> observe_window(1000, "2026-01-31T12:00:00.000000Z", promise=promise).findings["promise"]
    Finding(holds=True, words='too few were right')
    """
    findings: dict[WatchedTrigger, Finding] = {}
    if rule is not None and rule.enough_samples:
        findings["drift_rule"] = Finding(rule.covariate_shift, rule.drifted_words)
        findings["prediction_shift"] = Finding(rule.prediction_shift, rule.rate_words)
    if drift is not None and (drift.complete or drift.alarms):
        moved = dict.fromkeys(test.words for test in drift.alarms)
        findings["windowed_drift"] = Finding(bool(moved), "; ".join(moved) or "no windowed test alarms")
    compared: tuple[tuple[WatchedTrigger, DegradationDecision | None], ...] = (
        ("estimated_performance", estimated),
        ("realized_performance", realized),
    )
    for name, decision in compared:
        if decision is not None and decision.drops:
            words = decision.reason or "no watched figure is worse than at release"
            findings[name] = Finding(decision.degraded, words)
    if promise is not None and promise.verdict != "undecided":
        findings["promise"] = Finding(promise.verdict == "refuted", promise.reason)
    return WindowEvidence(stop, time, findings)


@dataclass(frozen=True)
class NewOutcomes:
    """Matured labels that the champion has not learned from.

    Attributes
    ----------
    labels, positives : int
        All of them, and the positive ones.
    """

    labels: int = 0
    positives: int = 0


def count_new_outcomes(
    outcomes: OutcomeIndex, retraining: RetrainingRecord | None, *, matured_before: datetime
) -> NewOutcomes:
    """Count the matured labels that came since a run's data were put together.

    Parameters
    ----------
    outcomes : OutcomeIndex
        Brought up to date.
    retraining : RetrainingRecord or None
        What the run was made of as a challenger; None for a run that learned from no outcome.
    matured_before : datetime
        Labels of later predictions do not count yet.

    Returns
    -------
    new : NewOutcomes
        Rows on which the run was compared, and which it did not learn from, count as new.
    """
    labels, positives = outcomes.count_predicted_before(int(matured_before.timestamp() * 1_000_000))
    if retraining is not None:
        matured, fresh = retraining.feedback, retraining.fresh
        labels -= matured.matured_rows - fresh.held_out_rows
        positives -= matured.matured_positives - fresh.held_out_positives
    return NewOutcomes(max(0, labels), max(0, positives))


@dataclass(frozen=True)
class RetrainingEvidence:
    """All that a decision to retrain rests on.

    Attributes
    ----------
    run_id : str
        The champion.
    time : datetime
        Now, with a time zone.
    trained_at : datetime
        When the champion was trained.
    windows : tuple of WindowEvidence
        The complete windows since the champion went live, the oldest first, and those of its labelled
        predictions.
    present : WindowEvidence or None
        The rows as they are now, between two windows.
    new_outcomes : NewOutcomes
        Matured labels that the champion has not learned from.
    """

    run_id: str
    time: datetime
    trained_at: datetime
    windows: tuple[WindowEvidence, ...] = ()
    present: WindowEvidence | None = None
    new_outcomes: NewOutcomes = NewOutcomes()


@dataclass(frozen=True)
class RetrainingHistory:
    """What was retrained before.

    Attributes
    ----------
    last_time : datetime or None
        When the last retraining was decided, promoted or refused.
    last_verdict : str or None
        The verdict on the last retraining.
    """

    last_time: datetime | None = None
    last_verdict: str | None = None


def retraining_history(decisions: Iterable[Mapping[str, Any]]) -> RetrainingHistory:
    """Find the last retraining among the lines of `decisions.jsonl`, the oldest first.

    Examples
    --------
    >>> retraining_history([{"time": "2026-01-31T12:00:00Z", "decision": "refused", "retraining": {}}])
    RetrainingHistory(last_time=datetime.datetime(2026, 1, 31, 12, 0, tzinfo=datetime.timezone.utc),
        last_verdict='refused')
    """
    history = RetrainingHistory()
    for decision in decisions:
        if "retraining" in decision and decision.get("judged_now", True):
            history = RetrainingHistory(datetime.fromisoformat(decision["time"]), str(decision["decision"]))
    return history
