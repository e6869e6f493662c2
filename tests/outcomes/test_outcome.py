"""Reading late outcomes: what is understood, what is refused and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabloop.artifacts.prediction_log.rows import LoggedPrediction
from tabloop.contract.target import TargetConfig
from tabloop.outcomes.outcome import Outcome, OutcomeParser, RefusedOutcome, check_outcomes

ID = "0199c2f0-0000-7000-8000-000000000001"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
PARSER = OutcomeParser(TargetConfig(name="churned", positive="yes", negative="no"))


def parse(prediction_id: Any = ID, label: Any = "yes", time: Any = None) -> Outcome | RefusedOutcome:
    return PARSER.parse(7, prediction_id, label, time, now=NOW)


@pytest.mark.parametrize(
    ("label", "expected"), [("yes", 1), (" yes ", 1), ("no", 0), (1, 1), (0, 0), ("1", 1), ("0", 0), (1.0, 1)]
)
def test_labels_are_the_targets_values_or_one_and_zero(label: Any, expected: int) -> None:
    found = parse(label=label)
    assert isinstance(found, Outcome)
    assert found.label == expected


def test_the_targets_values_come_before_one_and_zero() -> None:
    """Where the class of interest is written 0, a 0 is that class."""
    parser = OutcomeParser(TargetConfig(name="survived", positive=0))
    found = parser.parse(1, ID, 0, None)
    assert isinstance(found, Outcome)
    assert found.label == 1


@pytest.mark.parametrize("label", [None, "", "Yes!", 2, 0.5, float("nan"), float("inf"), [1], {"a": 1}, "NA"])
def test_other_labels_are_refused(label: Any) -> None:
    found = parse(label=label)
    assert isinstance(found, RefusedOutcome)
    assert (found.row, found.reason) == (7, "label")
    assert "expected 'yes' or 'no'" in found.problem


@pytest.mark.parametrize(
    "prediction_id",
    [None, 5, "", "abc", ID[:-1], ID + "0", ID.replace("7000", "4000"), ID.replace("-", ""), "x" * 100_000],
)
def test_other_ids_are_refused(prediction_id: Any) -> None:
    found = parse(prediction_id)
    assert isinstance(found, RefusedOutcome)
    assert found.reason == "prediction_id"
    assert len(found.problem) < 200


def test_an_id_in_capitals_is_the_same_id() -> None:
    found = parse(f" {ID.upper()} ")
    assert isinstance(found, Outcome)
    assert found.prediction_id == ID


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (None, "2026-03-01T00:00:00.000000Z"),
        ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
        ("2026-01-31T12:00:00", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00.000000Z"),
        (datetime(2026, 1, 31, 12), "2026-01-31T12:00:00.000000Z"),
        (date(2026, 1, 31), "2026-01-31T00:00:00.000000Z"),
    ],
)
def test_times(time: Any, expected: str) -> None:
    found = parse(time=time)
    assert isinstance(found, Outcome)
    assert found.time == expected


@pytest.mark.parametrize(
    "time", ["yesterday", 5, "2026-13-01", NOW + timedelta(days=2), "0001-01-01T00:00:00+23:59"]
)
def test_other_times_are_refused(time: Any) -> None:
    found = parse(time=time)
    assert isinstance(found, RefusedOutcome)
    assert found.reason == "time"


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.text())))
def test_nothing_raises(anything: Any) -> None:
    assert isinstance(parse(anything, "yes"), RefusedOutcome | Outcome)
    assert isinstance(parse(label=anything), RefusedOutcome | Outcome)
    assert isinstance(parse(time=anything), RefusedOutcome | Outcome)


def test_unknown_ids_are_told_with_their_rows() -> None:
    other = ID[:-1] + "2"

    logged = LoggedPrediction("a run", "2026-01-31T11:00:00.000000Z", 0.5, 1)

    def find(ids: Sequence[str]) -> dict[str, LoggedPrediction]:
        return {each: logged for each in ids if each == ID}

    batch = check_outcomes([(1, other, 1, None), (2, ID, 1, None), (3, "bad", 1, None)], PARSER, find)
    assert [(outcome.prediction_id, outcome.prediction) for outcome in batch.accepted] == [(ID, logged)]
    assert [(refused.row, refused.reason) for refused in batch.refused] == [
        (1, "unknown_id"),
        (3, "prediction_id"),
    ]
    assert other in batch.refused[0].problem
