"""What a run's decisions are worth on some rows: estimated without labels, measured with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from tabloop.artifacts.layout import FEEDBACK
from tabloop.artifacts.run import RunFolder
from tabloop.config.loading import Project
from tabloop.drift.reference import DriftReference
from tabloop.drift.window import DriftRows
from tabloop.outcomes.index import OutcomeIndex
from tabloop.outcomes.outcome import prediction_time_ms
from tabloop.performance.degradation import DegradationDecision, decide_degradation
from tabloop.performance.estimate import PerformanceEstimate, RatedRows, estimate_performance
from tabloop.performance.realized import (
    PromiseDecision,
    RealizedPerformance,
    decide_promise,
    measure_performance,
    score_estimate,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RunPerformance:
    """Judges rows that a run has scored.

    Parameters
    ----------
    project : Project
        Its `monitoring.performance` and `business` sections, and where the feedback is.
    run : RunFolder
        The run.
    reference : DriftReference
        Its training rows, with what it said of them out-of-fold.
    not_monitored : iterable of str
        Features that the rows do not hold.

    Attributes
    ----------
    outcomes : OutcomeIndex
        The labels that came in.
    at_release : RealizedPerformance
        Of the training rows, out-of-fold: what the run was released with.
    """

    def __init__(
        self, project: Project, run: RunFolder, reference: DriftReference, not_monitored: Iterable[str]
    ) -> None:
        self._settings = project.config.monitoring.performance
        self._confidence = project.config.business.confidence
        self._threshold = run.threshold
        calibration = run.metrics.calibration
        # where the target was infeasible, what was promised instead
        self._promised = calibration.promised_precision or calibration.target_precision
        self._reference = _rated_reference(reference, set(not_monitored))
        self.outcomes = OutcomeIndex(project.model_dir / FEEDBACK)
        self.at_release = measure_performance(
            reference.y_true,
            reference.y_proba,
            reference.y_proba >= self._threshold,
            confidence=self._settings.confidence,
        )

    def estimate(self, rows: DriftRows) -> PerformanceEstimate:
        """Estimate performance without labels."""
        with threadpool_limits(1):  # the matrices are small: threads that wait for each other cost most
            return estimate_performance(self._reference, _rated(rows), self._threshold, self._settings)

    def measure(self, rows: DriftRows, prediction_ids: Sequence[str]) -> RealizedPerformance:
        """Measure performance on the outcomes that are known."""
        label, delay_s = self._labels(prediction_ids)
        return measure_performance(
            label,
            rows.probability,
            rows.label == 1,
            confidence=self._settings.confidence,
            label_delay_s=delay_s,
        )

    def decide_promise(self, realized: RealizedPerformance) -> PromiseDecision:
        """Test the promised precision again."""
        return decide_promise(
            realized.true_positive_rows,
            realized.predicted_positive_rows,
            target_precision=self._promised,
            confidence=self._confidence,
        )

    def decide_degradation(self, figures: PerformanceEstimate | RealizedPerformance) -> DegradationDecision:
        """Decide whether figures are worse than those at release."""
        # an estimate's own interval is about these rows' labels, not about rows like them
        now = figures.long_run if isinstance(figures, PerformanceEstimate) else figures.figures
        return decide_degradation(self.at_release.figures, now, self._settings)

    def describe(self, rows: DriftRows, prediction_ids: Sequence[str]) -> dict[str, Any]:
        """Say all that is known of some rows."""
        estimate, realized = self.estimate(rows), self.measure(rows, prediction_ids)
        known = self._labels(prediction_ids)[0] != -1
        scored = {}
        if known.any():
            labelled = self.estimate(_only(rows, known))
            scored = {name: score.to_dict() for name, score in score_estimate(labelled, realized).items()}
        return {
            "rows": rows.n_rows,
            "at_release": self.at_release.to_dict(),
            "estimated": estimate.to_dict(),
            "estimated_degradation": self.decide_degradation(estimate).to_dict(),
            "realized": realized.to_dict(),
            "realized_degradation": self.decide_degradation(realized).to_dict(),
            "promise": self.decide_promise(realized).to_dict(),
            "estimate_against_truth": scored,
        }

    def _labels(self, prediction_ids: Sequence[str]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
        """Give outcomes, -1 where unknown, and how late they came, in seconds."""
        self.outcomes.refresh()
        if not prediction_ids:
            return np.empty(0, np.int8), np.empty(0)
        found = self.outcomes.find(prediction_ids)
        predicted_us = np.array([prediction_time_ms(each) * 1000 for each in prediction_ids], dtype=np.int64)
        return found.label, (found.time_us - predicted_us) / 1e6


def _rated_reference(reference: DriftReference, left_out: set[str]) -> RatedRows:
    numeric, codes = reference.numeric, reference.codes
    return RatedRows(
        {n: numeric[:, i] for i, n in enumerate(reference.numeric_features) if n not in left_out},
        {n: codes[:, i] for i, n in enumerate(reference.category_features) if n not in left_out},
        reference.y_proba,
        reference.y_true,
    )


def _rated(rows: DriftRows) -> RatedRows:
    # a value that no training row had is to the estimate what a missing one is
    codes = {
        name: np.where(codes < rows.n_known[name], codes, -1).astype(codes.dtype)
        for name, codes in rows.codes.items()
    }
    return RatedRows(rows.numeric, codes, rows.probability)


def _only(rows: DriftRows, mask: NDArray[np.bool_]) -> DriftRows:
    return replace(
        rows,
        numeric={name: values[mask] for name, values in rows.numeric.items()},
        codes={name: codes[mask] for name, codes in rows.codes.items()},
        probability=rows.probability[mask],
        label=rows.label[mask],
    )
