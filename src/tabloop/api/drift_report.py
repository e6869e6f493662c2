"""What a log of predictions says about drift, as a notebook shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tabloop.api.html import table, titled
from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.run import RunFolder
from tabloop.config.loading import Project as Settings
from tabloop.drift.histograms import ValueHistogram
from tabloop.drift.history import DriftHistory
from tabloop.drift.tracker import AlarmedWindow
from tabloop.drift.zscore_rule import DriftReport as RuleReport
from tabloop.monitoring.log_drift import drift_of_log

_SHOWN_FEATURES = 20
_SHOWN_WINDOWS = 5


@dataclass(frozen=True)
class DriftReport:
    """Drift of a run's predictions.

    Attributes
    ----------
    run_id : str
        The run.
    rows : int
        Predictions that were looked at.
    rule : tabloop.drift.zscore_rule.DriftReport
        The documented z-score rule on the latest of them.
    alarms : tuple of AlarmedWindow
        Windows in which a calibrated test alarmed.
    windows : int
        Complete windows that were tested.
    not_monitored : tuple of str
        Features that the log does not hold.
    histograms : mapping of str to FeatureHistogram or CategoryHistogram
        The features that moved, in the latest rows and in the reference.
    """

    run_id: str
    rows: int
    rule: RuleReport
    alarms: tuple[AlarmedWindow, ...]
    windows: int
    not_monitored: tuple[str, ...]
    histograms: Mapping[str, ValueHistogram] = field(default_factory=dict)

    @property
    def words(self) -> tuple[str, ...]:
        """What the latest alarms say, a sentence each."""
        return tuple(
            dict.fromkeys(test.words for window in self.alarms[-_SHOWN_WINDOWS:] for test in window.alarms)
        )

    def to_dict(self) -> dict[str, object]:
        """Describe the report as plain JSON values, as `tabloop drift --json` does."""
        history = DriftHistory(
            self.rows, self.rule, self.windows, self.alarms, self.not_monitored, self.histograms
        )
        return {"run_id": self.run_id, **json_values(history)}

    def __repr__(self) -> str:
        return f"<DriftReport of run {self.run_id}: {self.rows:,} rows, {self._verdict()}>"

    def _repr_html_(self) -> str:
        return drift_html(
            "drift", f"run {self.run_id}, {self.rows:,} predictions: {self._verdict()}", self.rule, self.words
        )

    def _verdict(self) -> str:
        rule, n_alarms = self.rule, len(self.alarms)
        if not rule.enough_samples:
            return "too few to say"
        says = "drift by the z-score rule" if rule.should_retrain else "no drift by the z-score rule"
        return f"{says}, {n_alarms} of {self.windows} windows alarmed"


def drift(settings: Settings, run: RunFolder, log: Path) -> DriftReport:
    """Go through all rows of a run in a log; see `tabloop.monitoring.log_drift`."""
    history = drift_of_log(settings, run, log)
    return DriftReport(
        run.run_id, history.rows, history.rule, history.alarmed, history.windows, history.not_monitored,
        history.histograms,
    )  # fmt: skip


def drift_html(title: str, said: str, rule: RuleReport, words: tuple[str, ...]) -> str:
    """Show the rule's figures, the strongest first, and what alarmed."""
    strongest = sorted(rule.zscores.items(), key=lambda item: -item[1])
    figures = [[name, z, name in rule.drifted_features] for name, z in strongest[:_SHOWN_FEATURES]]
    alarms = table(["alarm"], [[sentence] for sentence in words]) if words else ""
    rates = [[rule.predicted_positive_rate, rule.reference_positive_rate]]
    return titled(
        title,
        said,
        table(["predicted positive", "in training"], rates) if rule.samples_observed else "",
        table(["feature", "z-score", "drifted"], figures) if figures else "",
        alarms,
    )
