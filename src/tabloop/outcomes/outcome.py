"""One late outcome: which prediction, what came true, when that was known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

from tabloop.artifacts.prediction_log.rows import LoggedPrediction
from tabloop.contract.target import TargetConfig, target_text

_PREDICTION_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
#: Looks predictions up in the log; those that it does not hold are not in the result.
FindPredictions = Callable[[Sequence[str]], Mapping[str, LoggedPrediction]]
# How far a clock may be ahead
_CLOCK_SKEW = timedelta(days=1)
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Outcome:
    """What became of one prediction.

    Attributes
    ----------
    prediction_id : str
        A UUID of version 7, in lower case.
    label : int
        1 or 0.
    time : str
        When the label was known, ISO 8601 in UTC.
    prediction : LoggedPrediction, optional
        What the log says of the prediction; None where it was not looked up.
    """

    prediction_id: str
    label: int
    time: str
    prediction: LoggedPrediction | None = None


@dataclass(frozen=True)
class RefusedOutcome:
    """An outcome that cannot be taken.

    Attributes
    ----------
    row : int
        Where it stands in its file or request, from 1.
    reason : str
        `prediction_id`, `label`, `time`, `unknown_id` or `malformed`.
    problem : str
        What was got and what was expected, in words.
    """

    row: int
    reason: str
    problem: str


@dataclass(frozen=True)
class OutcomeParser:
    """Reads outcomes as people and other systems write them.

    Parameters
    ----------
    target : TargetConfig
        Says which texts are the two classes; 1 and 0 are understood as well, unless they are those
        texts the other way round.

    Examples
    --------
    >>> parser = OutcomeParser(TargetConfig(name="churned", positive="yes", negative="no"))
    >>> outcome = parser.parse(1, "0199c2f0-0000-7000-8000-000000000001", "yes", "2026-01-31T12:00:00+01:00")
    >>> outcome.label, outcome.time
    (1, '2026-01-31T11:00:00.000000Z')
    >>> parser.parse(2, "0199c2f0-0000-7000-8000-000000000001", "maybe", None).problem
    "label: got 'maybe', expected 'yes' or 'no' (or 1, 0)"
    """

    target: TargetConfig

    @cached_property
    def labels(self) -> Mapping[str, int]:
        """The label of each text."""
        return {"1": 1, "0": 0} | {self.target.positive_text: 1, self.target.negative_text: 0}

    def parse(
        self, row: int, prediction_id: Any, label: Any, time: Any, *, now: datetime | None = None
    ) -> Outcome | RefusedOutcome:
        """Read one outcome.

        Parameters
        ----------
        row : int
            The number of its row, which a refusal names.
        prediction_id : object
            A UUID of version 7 as text, in any case.
        label : object
            One of the target's two values, or 1 or 0.
        time : object
            A `datetime` or its ISO 8601 text, without an offset in UTC; None is now.
        now : datetime, optional
            The present moment; by default the clock's.

        Returns
        -------
        outcome : Outcome or RefusedOutcome
            The refusal names the first problem.
        """
        text = canonical_id(prediction_id)
        if not text:
            expected = "expected the prediction_id of an answer, a UUID of version 7"
            return RefusedOutcome(
                row, "prediction_id", f"prediction_id: got {_short(prediction_id)}, {expected}"
            )
        value = None if label is None else self.labels.get(_label_text(label))
        if value is None:
            texts = f"{self.target.positive_text!r} or {self.target.negative_text!r}"
            also = (
                "" if {"0", "1"} <= {self.target.positive_text, self.target.negative_text} else " (or 1, 0)"
            )
            return RefusedOutcome(row, "label", f"label: got {_short(label)}, expected {texts}{also}")
        now = now or datetime.now(UTC)
        moment = now if time is None else _moment(time)
        if moment is None:
            return RefusedOutcome(
                row, "time", f"time: got {_short(time)}, expected ISO 8601 such as 2026-01-31T12:00:00Z"
            )
        if moment > now + _CLOCK_SKEW:
            return RefusedOutcome(row, "time", f"time: got {_short(time)}, which is still to come")
        return Outcome(text, value, _stamp(moment))


@dataclass(frozen=True)
class OutcomeBatch:
    """Outcomes that were looked at.

    Attributes
    ----------
    accepted : list of Outcome
        Accepted outcomes, in the order in which they came.
    refused : list of RefusedOutcome
        The others.
    """

    accepted: list[Outcome] = field(default_factory=list)
    refused: list[RefusedOutcome] = field(default_factory=list)


def check_outcomes(
    rows: Iterable[tuple[int, Any, Any, Any]],
    parser: OutcomeParser,
    find: FindPredictions | None = None,
    *,
    others_predict: bool = False,
) -> OutcomeBatch:
    """Sort outcomes into those that can be taken and those that cannot.

    Parameters
    ----------
    rows : iterable of (int, object, object, object)
        Row number, prediction_id, label and time, as `OutcomeParser.parse` takes them.
    parser : OutcomeParser
        Reads them.
    find : callable, optional
        Looks predictions up in the log; without it no id is called unknown.
    others_predict : bool, default=False
        Whether a prediction may be another machine's, whose log is elsewhere: then no id is unknown either.

    Returns
    -------
    batch : OutcomeBatch

    Examples
    --------
    >>> parser = OutcomeParser(TargetConfig(name="bought"))
    >>> rows = [(1, "0199c2f0-0000-7000-8000-000000000001", 1, None), (2, "x", 1, None)]
    >>> batch = check_outcomes(rows, parser)
    >>> len(batch.accepted), [refused.reason for refused in batch.refused]
    (1, ['prediction_id'])
    """
    batch = OutcomeBatch()
    places: list[int] = []
    now = datetime.now(UTC)
    for row, prediction_id, label, time in rows:
        outcome = parser.parse(row, prediction_id, label, time, now=now)
        if isinstance(outcome, Outcome):
            batch.accepted.append(outcome)
            places.append(row)
        else:
            batch.refused.append(outcome)
    if find is None or not batch.accepted:
        return batch
    found = find([outcome.prediction_id for outcome in batch.accepted])
    unknown = [
        RefusedOutcome(row, "unknown_id", f"prediction_id: {outcome.prediction_id} is in no prediction log")
        for row, outcome in zip(places, batch.accepted, strict=True)
        if outcome.prediction_id not in found and not others_predict
    ]
    accepted = [
        replace(outcome, prediction=found.get(outcome.prediction_id))
        for outcome in batch.accepted
        if outcome.prediction_id in found or others_predict
    ]
    return OutcomeBatch(accepted, sorted([*batch.refused, *unknown], key=lambda refused: refused.row))


def canonical_id(prediction_id: Any) -> str:
    """Write a prediction's id as the log does; the empty text for what is none.

    Examples
    --------
    >>> canonical_id(" 0199C2F0-0000-7000-8000-000000000001"), canonical_id("x"), canonical_id(None)
    ('0199c2f0-0000-7000-8000-000000000001', '', '')
    """
    text = prediction_id.strip().lower() if isinstance(prediction_id, str) else ""
    return text if _PREDICTION_ID.fullmatch(text) else ""


def prediction_time_ms(prediction_id: str) -> int:
    """Tell when a prediction was made, milliseconds since 1970: a UUID of version 7 begins with it.

    Examples
    --------
    >>> prediction_time_ms("0199c2f0-0000-7000-8000-000000000001") // 1000
    1759912132
    """
    return int(prediction_id[:8] + prediction_id[9:13], 16)


def _label_text(label: Any) -> str:
    # the common case without the general one's cost
    return label if label in ("0", "1") else target_text(label)


def _moment(time: Any) -> datetime | None:
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time.strip())
        except ValueError:
            return None
    if isinstance(time, date) and not isinstance(time, datetime):
        time = datetime(time.year, time.month, time.day, tzinfo=UTC)
    if not isinstance(time, datetime):
        return None
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        return None


@lru_cache(maxsize=1024)  # many outcomes share a moment
def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[: _SHOWN_CHARACTERS - 3]}..."
