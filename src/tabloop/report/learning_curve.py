"""How a candidate grows with its rows, as a chart."""

from __future__ import annotations

from tabloop.artifacts.documents.learning_curve import LearningCurve
from tabloop.charts.chart import Chart
from tabloop.charts.lines import Line, line_chart
from tabloop.charts.scale import Axis


def learning_curve_chart(curve: LearningCurve) -> Chart:
    """Draw a learning curve."""
    return line_chart(
        f"Learning curve of {curve.candidate}",
        curve.sentence,
        Axis("training rows", writing="count", log=True),
        Axis("ROC-AUC, out of fold"),
        [
            Line(
                curve.candidate,
                [point.rows for point in curve.points],
                [point.roc_auc for point in curve.points],
                lows=[point.interval[0] for point in curve.points],
                highs=[point.interval[1] for point in curve.points],
                dots=True,
            )
        ],
    )
