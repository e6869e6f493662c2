"""Two runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabloop.artifacts.run_diff import Difference
from tabloop.charts.chart import Table
from tabloop.charts.colours import series_colour
from tabloop.charts.dots import Estimate, dot_chart
from tabloop.charts.scale import Axis
from tabloop.report.page import Figures, Listing, Section, Text
from tabloop.report.quality import roc_chart
from tabloop.report.run_documents import RunDocuments

_BOUNDED = {"roc_auc": "ROC-AUC", "precision": "Precision", "recall": "Recall", "accuracy": "Accuracy"}


def comparison_section(
    run: RunDocuments, other: RunDocuments, differences: Mapping[str, Difference]
) -> Section:
    """Put a run and another one beside each other: figures, curves, and what differs between them.

    Parameters
    ----------
    run, other : RunDocuments
        The run of the report, and the one it is compared with.
    differences : mapping
        What `compare_runs` found, with `first` and `second` by name.
    """
    names = ("this run", "the other")
    charts = []
    for figure, said in _BOUNDED.items():
        estimates = [
            Estimate(name, float(getattr(each.metrics, figure)), *each.metrics.intervals[figure],
                     note=f"{each.metrics.test_rows:,}", colour=series_colour(place))
            for place, (name, each) in enumerate(zip(names, (run, other), strict=True))
        ]  # fmt: skip
        charts.append(
            dot_chart(said, "On the test rows of each, with 95% intervals.", Axis(said), estimates,
                      note_header="test rows")
        )  # fmt: skip
    if run.evaluation is not None and other.evaluation is not None:
        charts.append(roc_chart([(names[0], run.evaluation), (names[1], other.evaluation)]))
    rows = tuple((name, _cell(pair.first), _cell(pair.second)) for name, pair in differences.items())
    same = run.lineage.dataset.sha256 == other.lineage.dataset.sha256
    words = (
        "Both were made of the same data."
        if same
        else "They were made of different data, so that their test rows differ: small differences mean "
        "little."
    )
    return Section(
        "comparison",
        f"Beside run {other.run_id}",
        (
            Text(words),
            Figures(tuple(charts)),
            Listing(Table(("what differs", "this run", "the other"), rows), "Settings, data and figures "
                                                                            "that differ",
                    is_folded=len(rows) > 30),
        ),
    )  # fmt: skip


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
