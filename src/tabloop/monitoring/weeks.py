"""What became of predictions, by the week in which they were made and the run that made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tabloop.outcomes.index import WeekOfOutcomes
from tabloop.performance.figures import PerformanceFigure
from tabloop.statistics.intervals import exact_interval

_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Week:
    """What became of the predictions that one run made in one week.

    Attributes
    ----------
    week : str
        Its Monday.
    run_id : str
        The run.
    matured : bool
        Whether the outcomes of all of them count by now.
    rows : int or None
        Predictions; None where the log that held them is gone.
    labelled_rows, positive_rows, predicted_positive_rows, true_positive_rows : int
        Those with an outcome, and what outcome and decision were.
    precision, recall : PerformanceFigure or None
        None where there is nothing to divide by, or outcomes of one class only.
    """

    week: str
    run_id: str
    matured: bool
    rows: int | None
    labelled_rows: int
    positive_rows: int
    predicted_positive_rows: int
    true_positive_rows: int
    precision: PerformanceFigure | None
    recall: PerformanceFigure | None


def describe_weeks(
    outcomes: Iterable[WeekOfOutcomes],
    rows_by_hour: Mapping[str, Counter[str]],
    *,
    matured_before: datetime,
    confidence: float,
) -> list[Week]:
    """Describe every week of every run, the earliest first.

    A swap of the champion begins no new history: each prediction belongs to the run that made it.

    Parameters
    ----------
    outcomes : iterable of WeekOfOutcomes
        The weeks with their known outcomes.
    rows_by_hour : mapping of str to Counter
        Predictions by run and hour; see `LogCensus`.
    matured_before : datetime
        A week that ends after this moment has not matured: of its predictions one class may be known sooner
        than the other.
    confidence : float
        The confidence level of the two-sided intervals.

    Returns
    -------
    weeks : list of Week

    Examples
    --------
    >>> week = WeekOfOutcomes("a", 1_767_571_200_000_000, 100, 20, 10, 9)
    >>> (described,) = describe_weeks(
    ...     [week], {"a": Counter({"2026-01-07T10": 400})}, matured_before=datetime(2026, 1, 10, tzinfo=UTC),
    ...     confidence=0.95)
    >>> described.week, described.rows, described.matured, described.precision.value
    ('2026-01-05', 400, False, 0.9)
    """
    predicted: Counter[tuple[str, str]] = Counter()
    for run_id, hours in rows_by_hour.items():
        for hour, rows in hours.items():
            day = datetime.strptime(hour[:10], "%Y-%m-%d").replace(tzinfo=UTC)
            predicted[f"{day - timedelta(days=day.weekday()):%Y-%m-%d}", run_id] += rows
    known = {(f"{_moment(each.start_us):%Y-%m-%d}", each.run_id): each for each in outcomes}
    described = []
    for week, run_id in sorted({*known, *predicted}):
        start = datetime.strptime(week, "%Y-%m-%d").replace(tzinfo=UTC)
        found = known.get((week, run_id)) or WeekOfOutcomes(run_id, 0, 0, 0, 0, 0)
        rows = predicted.get((week, run_id), 0)
        both = 0 < found.positive_rows < found.labelled_rows
        described.append(
            Week(
                week=week,
                run_id=run_id,
                matured=start + _WEEK <= matured_before,
                rows=rows if rows >= found.labelled_rows else None,
                labelled_rows=found.labelled_rows,
                positive_rows=found.positive_rows,
                predicted_positive_rows=found.predicted_positive_rows,
                true_positive_rows=found.true_positive_rows,
                precision=_rate(
                    found.true_positive_rows, found.predicted_positive_rows if both else 0, confidence
                ),
                recall=_rate(found.true_positive_rows, found.positive_rows if both else 0, confidence),
            )
        )
    return described


def _rate(part: int, whole: int, confidence: float) -> PerformanceFigure | None:
    if not whole:
        return None
    return PerformanceFigure(part / whole, *exact_interval(part, whole, confidence=confidence))


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
