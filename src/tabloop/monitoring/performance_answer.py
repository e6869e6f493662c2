"""What decisions are worth, over time: the answer of `GET /monitoring/performance`."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tabloop.artifacts.documents.window_period import Measured, WindowPeriod
from tabloop.deployment.dashboard_types.performance import (
    Performance,
    PerformancePoint,
    PerformanceWeek,
    PromiseState,
    ReliabilityPoint,
)
from tabloop.evaluation.curves import reliability
from tabloop.monitoring.overview import describe_figures
from tabloop.monitoring.run_performance import PerformanceAnswer
from tabloop.outcomes.index import LabelledPredictions
from tabloop.performance.figures import PerformanceFigure


def describe_performance(
    answer: PerformanceAnswer, labelled: LabelledPredictions, periods: Iterable[WindowPeriod]
) -> Performance:
    """Put together what is known of performance.

    Parameters
    ----------
    answer : PerformanceAnswer
        The latest look.
    labelled : LabelledPredictions
        The run's predictions whose outcome is known.
    periods : iterable of WindowPeriod
        What earlier looks said, the oldest first.
    """
    realized = answer.realized
    return Performance(
        run_id=answer.run_id,
        rows=answer.rows,
        labelled_rows=realized.labelled_rows,
        coverage=realized.coverage,
        label_delay_p50_s=realized.label_delay_p50_s,
        label_delay_p90_s=realized.label_delay_p90_s,
        confidence=realized.confidence,
        figures=describe_figures(answer),
        left_out={f"estimated {name}": why for name, why in answer.estimated.left_out.items()}
        | {f"realized {name}": why for name, why in realized.left_out.items()},
        estimated_degradation=answer.estimated_degradation.reason,
        realized_degradation=answer.realized_degradation.reason,
        promise=msgspec.convert(answer.promise, PromiseState, from_attributes=True),
        weeks=[
            PerformanceWeek(
                week=week.week,
                run_id=week.run_id,
                matured=week.matured,
                rows=week.rows,
                labelled_rows=week.labelled_rows,
                precision=_measured(week.precision),
                recall=_measured(week.recall),
            )
            for week in answer.weeks[-60:]
        ],
        history=[
            PerformancePoint(
                time=period.end,
                run_id=period.run_id,
                estimated=period.estimated,
                realized=period.realized,
                coverage=period.coverage,
            )
            for period in periods
            if period.estimated or period.realized
        ],
        reliability=_reliability(labelled),
    )


def _reliability(labelled: LabelledPredictions) -> list[ReliabilityPoint]:
    if not len(labelled):
        return []
    return [
        ReliabilityPoint(
            rows=each.rows,
            mean_probability=each.mean_probability,
            observed=Measured(each.observed_rate, *each.interval),
        )
        for each in reliability(labelled.label, labelled.probability)
    ]


def _measured(figure: PerformanceFigure | None) -> Measured | None:
    return None if figure is None else Measured(figure.value, figure.low, figure.high)
