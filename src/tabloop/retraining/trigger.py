"""Whether to retrain: triggers that have to be confirmed, and what a retraining still has to wait for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import get_args

from tabloop.artifacts.files import iso_utc
from tabloop.config.retraining import RetrainingConfig
from tabloop.retraining.evidence import Finding, RetrainingEvidence, RetrainingHistory, WatchedTrigger

#: They look at many rows together, and fire as soon as they hold.
_AT_ONCE = ("drift_rule", "prediction_shift", "promise")


@dataclass(frozen=True)
class TriggerDecision:
    """What one trigger says.

    Attributes
    ----------
    enabled : bool
        Whether the config listens to it.
    holds : bool or None
        At the last look that could judge it; None where none could.
    held_windows : int
        Consecutive windows, up to now, in which it held; 0 for what no window decides.
    fires : bool
        Whether it asks for a new model.
    since : str or None
        When it began to fire, ISO 8601 in UTC.
    reason : str
        The reason, as a sentence.
    """

    enabled: bool
    holds: bool | None
    held_windows: int
    fires: bool
    since: str | None
    reason: str


@dataclass(frozen=True)
class RetrainingDecision:
    """Whether to retrain.

    Attributes
    ----------
    run_id : str
        The champion.
    should_retrain : bool
        Whether any trigger fires.
    retrain_now : bool
        Whether one does and nothing has to be waited for; `tabloop retrain --if-triggered` goes by this.
    reason : str
        The reason, as a sentence.
    recommended_action : str
        The next step for a person, as a sentence.
    blocked_by : tuple of str
        What has to be waited for, in words, whether or not a trigger fires.
    new_labels, new_positives, missing_labels, missing_positives : int
        Matured labels that are new to the champion, and how many more there have to be.
    cooldown_until : str or None
        Until when no triggered retraining begins, ISO 8601 in UTC; None where that is over.
    triggers : dict of str to TriggerDecision
        Each of them.
    """

    run_id: str
    should_retrain: bool
    retrain_now: bool
    reason: str
    recommended_action: str
    blocked_by: tuple[str, ...]
    new_labels: int
    new_positives: int
    missing_labels: int
    missing_positives: int
    cooldown_until: str | None
    triggers: dict[str, TriggerDecision]


def decide_retraining(
    evidence: RetrainingEvidence, config: RetrainingConfig, history: RetrainingHistory
) -> RetrainingDecision:
    """Decide whether a new model is asked for, and whether it can be had now.

    Parameters
    ----------
    evidence : RetrainingEvidence
        The evidence that is known so far.
    config : RetrainingConfig
        The config's `retraining` section.
    history : RetrainingHistory
        The retrainings before this one.

    Returns
    -------
    decision : RetrainingDecision
        Depends on nothing else: the same evidence gives the same decision.

    Notes
    -----
    A trigger that windows decide fires after `confirm_windows` of them in which it held, one after the other,
    and is off again after as many in which it was quiet: what goes to and fro within fewer windows changes
    nothing. A window in which it could not be judged is passed over. What is seen between two windows counts
    for the two halves of the z-score rule, and for the promise, whose test holds at every look.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from tabloop.retraining.evidence import NewOutcomes, WindowEvidence
    >>> held = {"windowed_drift": Finding(True, "minutes_watched: 12.1 for 6.8")}
    >>> windows = tuple(WindowEvidence(n * 1000, f"2026-01-0{n}T00:00:00Z", held) for n in (1, 2))
    >>> now = datetime(2026, 1, 3, tzinfo=UTC)
    >>> evidence = RetrainingEvidence("r", now, now, windows, new_outcomes=NewOutcomes(900, 80))
    >>> decision = decide_retraining(evidence, RetrainingConfig(), RetrainingHistory())
    >>> decision.should_retrain, decision.retrain_now, decision.reason
    (True, False, 'windowed_drift: minutes_watched: 12.1 for 6.8 (for 2 windows)')
    >>> decision.blocked_by
    ('900 new labels, 1,000 are needed',)
    """
    triggers = {name: _watched(name, evidence, config) for name in get_args(WatchedTrigger)}
    triggers["max_age_days"] = _age(evidence, config)
    triggers["new_labels"] = _labels(evidence, config)
    firing = [name for name, trigger in triggers.items() if trigger.fires]

    new = evidence.new_outcomes
    missing_labels = max(0, config.min_new_labels - new.labels)
    missing_positives = max(0, config.min_new_positives - new.positives)
    cooldown_until = _cooldown_until(evidence, config, history)
    blocked = []
    if cooldown_until is not None:
        blocked.append(
            f"the last retraining was {history.last_verdict}; the next waits until {cooldown_until}"
        )
    if missing_labels:
        blocked.append(f"{new.labels:,} new labels, {config.min_new_labels:,} are needed")
    if missing_positives:
        blocked.append(f"{new.positives:,} of them positive, {config.min_new_positives:,} are needed")
    return RetrainingDecision(
        run_id=evidence.run_id,
        should_retrain=bool(firing),
        retrain_now=bool(firing) and not blocked,
        reason="; ".join(f"{name}: {triggers[name].reason}" for name in firing) or "no trigger fires",
        recommended_action=_action(
            bool(firing), cooldown_until, missing_labels, missing_positives, bool(evidence.windows)
        ),
        blocked_by=tuple(blocked),
        new_labels=new.labels,
        new_positives=new.positives,
        missing_labels=missing_labels,
        missing_positives=missing_positives,
        cooldown_until=cooldown_until,
        triggers=triggers,
    )


def _watched(name: WatchedTrigger, evidence: RetrainingEvidence, config: RetrainingConfig) -> TriggerDecision:
    enabled = bool(getattr(config.triggers, name))
    judged = [(window.findings[name], window.time) for window in evidence.windows if name in window.findings]
    at_once = name in _AT_ONCE
    state = _follow(judged, confirm_on=1 if at_once else config.confirm_windows, config=config)
    present = None if evidence.present is None else evidence.present.findings.get(name)
    latest = present or (judged[-1][0] if judged else None)
    fires, since = state.is_on, state.since
    if at_once and not fires and present is not None and present.holds and evidence.present is not None:
        fires, since = True, evidence.present.time
    return TriggerDecision(
        enabled=enabled,
        holds=None if latest is None else latest.holds,
        held_windows=state.held,
        fires=enabled and fires,
        since=since if enabled and fires else None,
        reason=_words(latest, state, fires=fires, at_once=at_once, config=config),
    )


@dataclass(frozen=True)
class _State:
    is_on: bool = False
    held: int = 0
    quiet: int = 0
    since: str | None = None


def _follow(judged: Iterable[tuple[Finding, str]], *, confirm_on: int, config: RetrainingConfig) -> _State:
    state = _State()
    for finding, time in judged:
        held = state.held + 1 if finding.holds else 0
        quiet = 0 if finding.holds else state.quiet + 1
        if not state.is_on and held >= confirm_on:
            state = _State(True, held, quiet, time)
        elif state.is_on and quiet >= config.confirm_windows:
            state = _State(False, held, quiet)
        else:
            state = _State(state.is_on, held, quiet, state.since)
    return state


def _words(
    latest: Finding | None, state: _State, *, fires: bool, at_once: bool, config: RetrainingConfig
) -> str:
    if latest is None:
        return "could not be judged yet"
    if fires and not latest.holds:
        quiet = f"quiet for {state.quiet} of {config.confirm_windows} windows"
        return f"{latest.words} ({quiet}, it held since {state.since})"
    if at_once or not state.held:
        return latest.words
    held = f"for {state.held} windows" if fires else f"for {state.held} of {config.confirm_windows} windows"
    return f"{latest.words} ({held})"


def _age(evidence: RetrainingEvidence, config: RetrainingConfig) -> TriggerDecision:
    limit = config.triggers.max_age_days
    days = (evidence.time - evidence.trained_at).total_seconds() / 86_400
    reason = f"the champion was trained {days:.1f} days ago"
    if limit is None:
        return TriggerDecision(False, None, 0, False, None, reason)
    due = evidence.trained_at + timedelta(days=limit)
    holds = evidence.time >= due
    return TriggerDecision(
        True, holds, 0, holds, iso_utc(due) if holds else None, f"{reason}, {limit:g} are allowed"
    )


def _labels(evidence: RetrainingEvidence, config: RetrainingConfig) -> TriggerDecision:
    limit, new = config.triggers.new_labels, evidence.new_outcomes.labels
    reason = f"{new:,} new labels"
    if limit is None:
        return TriggerDecision(False, None, 0, False, None, reason)
    return TriggerDecision(
        True, new >= limit, 0, new >= limit, None, f"{reason}, {limit:,} ask for a new model"
    )


def _cooldown_until(
    evidence: RetrainingEvidence, config: RetrainingConfig, history: RetrainingHistory
) -> str | None:
    if history.last_time is None:
        return None
    until = history.last_time + timedelta(hours=config.cooldown_hours)
    return iso_utc(until) if evidence.time < until else None


def _action(
    fires: bool, cooldown_until: str | None, missing_labels: int, missing_positives: int, has_windows: bool
) -> str:
    if not fires:
        return "none" if has_windows else "wait for more predictions"
    if missing_labels or missing_positives:
        needs = f"{max(missing_labels, missing_positives):,} more outcomes"
        if missing_positives:
            needs += f", {missing_positives:,} of them positive"
        return f"hand in {needs} (POST /feedback or `tabloop feedback import`), then `tabloop retrain`"
    if cooldown_until is not None:
        return f"wait until {cooldown_until}; `tabloop retrain` does not wait"
    return "`tabloop retrain`"
