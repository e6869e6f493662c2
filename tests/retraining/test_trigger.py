"""A decision to retrain depends on what is known and on nothing else, and does not go to and fro."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Workspace

from tabloop.config.retraining import RetrainingConfig, RetrainingTriggersConfig
from tabloop.drift.tracker import WindowVerdict
from tabloop.drift.windowed_report import FeatureTest
from tabloop.drift.zscore_rule import DriftReport
from tabloop.errors import ConfigError
from tabloop.performance.degradation import DegradationDecision, FigureDrop
from tabloop.performance.promise import DecisionCounts, decide_promise
from tabloop.retraining.evidence import (
    Finding,
    NewOutcomes,
    RetrainingEvidence,
    RetrainingHistory,
    WatchedTrigger,
    WindowEvidence,
    observe_window,
    retraining_history,
)
from tabloop.retraining.trigger import RetrainingDecision, decide_retraining

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENOUGH = NewOutcomes(1_000, 50)
WATCHED: tuple[WatchedTrigger, ...] = get_args(WatchedTrigger)
# what every window of a sequence shows of one trigger; None: it could not be judged
SEQUENCES = st.lists(st.sampled_from([True, False, None]), max_size=40)


def windows(held: list[bool | None], name: WatchedTrigger = "windowed_drift") -> tuple[WindowEvidence, ...]:
    return tuple(
        WindowEvidence(
            (i + 1) * 1_000,
            (NOW - timedelta(hours=len(held) - i)).isoformat(),
            {} if holds is None else {name: Finding(holds, "seen")},
        )
        for i, holds in enumerate(held)
    )


def evidence(
    seen: tuple[WindowEvidence, ...] = (),
    *,
    present: WindowEvidence | None = None,
    feedback: NewOutcomes = ENOUGH,
) -> RetrainingEvidence:
    return RetrainingEvidence("run", NOW, NOW - timedelta(days=10), seen, present, feedback)


def decide(
    known: RetrainingEvidence, history: RetrainingHistory | None = None, **settings: object
) -> RetrainingDecision:
    return decide_retraining(known, RetrainingConfig.model_validate(settings), history or RetrainingHistory())


@given(
    SEQUENCES,
    st.integers(1, 5),
    st.sampled_from(["windowed_drift", "realized_performance", "estimated_performance"]),
)
def test_a_trigger_turns_only_after_as_many_windows_as_confirm_it(
    held: list[bool | None], confirm: int, name: WatchedTrigger
) -> None:
    """Followed window by window: each turn is backed by the windows before it, and none is missed."""
    on = False
    for n in range(len(held) + 1):
        fires = decide(evidence(windows(held[:n], name)), confirm_windows=confirm).should_retrain
        latest = [each for each in held[:n] if each is not None][-confirm:]
        if len(latest) == confirm and len(set(latest)) == 1:
            assert fires is latest[0]
        else:
            assert fires is on
        on = fires


@given(SEQUENCES, st.integers(2, 5))
def test_what_goes_to_and_fro_within_the_band_changes_nothing(held: list[bool | None], confirm: int) -> None:
    shaken = [each for pair in zip(held, [False] * len(held), strict=True) for each in pair]
    for n in range(len(shaken) + 1):
        assert not decide(evidence(windows(shaken[:n])), confirm_windows=confirm).should_retrain


@given(st.floats(0, 500), st.floats(0, 500), st.sampled_from(["promoted", "refused"]))
def test_nothing_is_retrained_in_the_cooldown(cooldown: float, elapsed: float, verdict: str) -> None:
    history = RetrainingHistory(NOW - timedelta(hours=elapsed), verdict)
    decision = decide(evidence(windows([True, True])), history, cooldown_hours=cooldown)
    over = NOW - timedelta(hours=elapsed) + timedelta(hours=cooldown) <= NOW
    assert decision.should_retrain
    assert decision.retrain_now is over
    assert (decision.cooldown_until is None) is over


@given(
    st.dictionaries(st.sampled_from(WATCHED), SEQUENCES, min_size=1),
    st.lists(st.sampled_from(WATCHED), unique=True),
)
def test_a_trigger_that_is_off_has_no_influence(
    held: dict[WatchedTrigger, list[bool | None]], off: list[WatchedTrigger]
) -> None:
    length = max(map(len, held.values()))

    def seen(names: set[WatchedTrigger]) -> tuple[WindowEvidence, ...]:
        found = [
            {
                name: Finding(bool(each[i]), "seen")
                for name, each in held.items()
                if name in names and i < len(each) and each[i] is not None
            }
            for i in range(length)
        ]
        return tuple(WindowEvidence(i, f"t{i}", findings) for i, findings in enumerate(found))

    switched = decide(evidence(seen(set(held))), triggers=dict.fromkeys(off, False))
    absent = decide(evidence(seen(set(held) - set(off))))
    assert switched.should_retrain is absent.should_retrain
    assert switched.reason == absent.reason
    assert switched.retrain_now is absent.retrain_now
    assert not any(switched.triggers[name].fires for name in off)


@given(st.integers(0, 2_000), st.integers(0, 200))
def test_too_few_labels_or_positives_wait_and_say_how_many(labels: int, positives: int) -> None:
    decision = decide(evidence(windows([True, True]), feedback=NewOutcomes(labels, positives)))
    assert decision.should_retrain
    assert decision.missing_labels == max(0, 1_000 - labels)
    assert decision.missing_positives == max(0, 50 - positives)
    assert decision.retrain_now is (labels >= 1_000 and positives >= 50)
    assert decision.retrain_now is (decision.recommended_action == "`tabloop retrain`")


def test_the_documented_rule_fires_as_soon_as_it_holds_and_does_not_flap() -> None:
    held = WindowEvidence(60, "now", {"drift_rule": Finding(True, "drifted features: a, b")})
    decision = decide(evidence(present=held))
    assert decision.triggers["drift_rule"].since == "now"
    assert decision.reason == "drift_rule: drifted features: a, b"
    # once a window held it, one quiet window does not let it go
    assert decide(evidence(windows([True, False], "drift_rule"))).should_retrain
    assert not decide(evidence(windows([True, False, False], "drift_rule"))).should_retrain


def test_what_is_seen_between_windows_confirms_no_other_trigger() -> None:
    present = WindowEvidence(1_500, "now", {"windowed_drift": Finding(True, "a column went null")})
    decision = decide(evidence(windows([True]), present=present))
    assert not decision.should_retrain
    assert decision.triggers["windowed_drift"].holds is True
    assert decision.triggers["windowed_drift"].held_windows == 1


def test_age_and_new_labels_ask_for_a_model_where_they_are_switched_on() -> None:
    assert not decide(evidence()).should_retrain
    aged = decide(evidence(), triggers={"max_age_days": 10.0})
    assert aged.retrain_now
    assert aged.triggers["max_age_days"].since == "2026-03-01T12:00:00.000000Z"
    assert not decide(evidence(), triggers={"max_age_days": 10.1}).should_retrain
    assert decide(evidence(), triggers={"new_labels": 1_000}).retrain_now
    assert not decide(evidence(), triggers={"new_labels": 1_001}).should_retrain


def test_each_verdict_of_the_monitor_becomes_a_finding() -> None:
    rule = DriftReport(60, True, {"a": 4.0}, 4.0, ("a",), 0.4, 0.1, True, True, True)
    test = FeatureTest("a", None, "rank", 0.5, 0.1, 0.001, True, "a: 2 for 1")
    drop = FigureDrop(0.9, 0.7, 0.2, 0.1, degraded=True)
    degraded = DegradationDecision(True, {"precision": drop}, ())
    found = observe_window(
        1_000,
        "t",
        rule=rule,
        drift=WindowVerdict(0, 1_000, True, (test,)),
        estimated=degraded,
        realized=DegradationDecision(False, {"recall": replace(drop, degraded=False)}, ()),
        promise=decide_promise(DecisionCounts(5_000, 900, 1_000, 850), target_precision=0.9, confidence=0.95),
    ).findings
    assert {name: finding.holds for name, finding in found.items()} == {
        "drift_rule": True, "prediction_shift": True, "windowed_drift": True,
        "estimated_performance": True, "realized_performance": False, "promise": True,
    }  # fmt: skip
    unknown = observe_window(
        10,
        "t",
        rule=replace(rule, enough_samples=False),
        drift=WindowVerdict(0, 10, False, ()),
        estimated=DegradationDecision(False, {}, ("precision",)),
        promise=decide_promise(DecisionCounts(50, 10, 10, 9), target_precision=0.9, confidence=0.95),
    )
    assert unknown.findings == {}


def test_only_retrainings_count_for_the_cooldown() -> None:
    lines: list[dict[str, Any]] = [
        {"time": "2026-01-01T00:00:00Z", "decision": "refused", "retraining": {}, "judged_now": True},
        {"time": "2026-01-02T00:00:00Z", "decision": "promoted", "judged_now": True},
        {"time": "2026-01-03T00:00:00Z", "decision": "promoted", "retraining": {}, "judged_now": False},
        {"time": "2026-01-04T00:00:00Z", "decision": "rolled_back"},
    ]
    assert retraining_history(lines) == RetrainingHistory(datetime(2026, 1, 1, tzinfo=UTC), "refused")


def test_settings_that_leave_nothing_to_learn_from_are_refused(workspace: Workspace) -> None:
    workspace.change(retraining={"min_new_labels": 500, "fresh_rows": 500})
    with pytest.raises(ConfigError, match="min_new_labels is 500, expected more than fresh_rows, 500"):
        workspace.project()


def test_every_trigger_of_the_config_is_decided_on() -> None:
    assert {*RetrainingTriggersConfig.model_fields} == {*decide(evidence()).triggers}
