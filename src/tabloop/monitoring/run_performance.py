"""What a run's decisions are worth: estimated on the latest rows, measured on those with an outcome."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from tabloop.artifacts.files import iso_utc
from tabloop.artifacts.layout import FEEDBACK
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.run import RunFolder
from tabloop.config.loading import Project
from tabloop.drift.reference import DriftReference
from tabloop.drift.window import DriftRows
from tabloop.monitoring.weeks import Week, describe_weeks
from tabloop.outcomes.index import LabelledPredictions, OutcomeIndex
from tabloop.performance.degradation import DegradationDecision, decide_degradation
from tabloop.performance.estimate import PerformanceEstimate, RatedRows, estimate_performance
from tabloop.performance.objectives import PredictionWindow, decide_objective
from tabloop.performance.promise import DecisionCounts, PromiseDecision
from tabloop.performance.realized import (
    EstimateScore,
    RealizedPerformance,
    measure_performance,
    score_estimate,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Estimates that are remembered: an estimate takes most of a second, and equal rows have the same.
_REMEMBERED = 32


@dataclass(frozen=True)
class LabelledWindow:
    """One of the consecutive windows of predictions whose outcome is known.

    Attributes
    ----------
    stop : int
        The run's labelled predictions up to its end.
    time : str
        When the last of its predictions was made, ISO 8601 in UTC.
    degradation : DegradationDecision
        Whether its figures are worse than at release.
    """

    stop: int
    time: str
    degradation: DegradationDecision


@dataclass(frozen=True)
class LatestRows:
    """A run's latest predictions, as they were at one moment.

    Attributes
    ----------
    rows : DriftRows
        What was asked and answered.
    outcome : ndarray of int8, shape (n_rows,)
        What became of each: 0, 1, or -1 where that is not known.
    window : PredictionWindow or None
        The latest complete window of predictions.
    """

    rows: DriftRows
    outcome: NDArray[np.int8]
    window: PredictionWindow | None = None

    def known(self) -> DriftRows | None:
        """Give those whose outcome is known; None where there are none."""
        mask = self.outcome != -1
        return _only(self.rows, mask) if mask.any() else None


@dataclass(frozen=True)
class PerformanceAnswer:
    """What is known of a run's precision, recall and ranking, without outcomes and with them.

    Attributes
    ----------
    run_id : str
        The run.
    rows : int
        The latest predictions, on which figures are estimated.
    at_release : RealizedPerformance
        The performance on the training rows, out-of-fold.
    estimated, realized
        Of the latest predictions without outcomes, and of the latest ones with an outcome.
    estimated_degradation, realized_degradation : DegradationDecision
        Whether these are worse than at release.
    promise : PromiseDecision
        Whether what happened bears out what the threshold promised.
    estimate_against_truth : dict of str to EstimateScore
        How near the estimate is on those rows whose outcome is known, by figure.
    weeks : list of Week
        What became of all predictions.
    """

    run_id: str
    rows: int
    at_release: RealizedPerformance
    estimated: PerformanceEstimate
    estimated_degradation: DegradationDecision
    realized: RealizedPerformance
    realized_degradation: DegradationDecision
    promise: PromiseDecision
    estimate_against_truth: dict[str, EstimateScore]
    weeks: list[Week]


class RunPerformance:
    """Judges what a run decided.

    Realized figures are about predictions whose outcome is known, however old these are: the latest
    `monitoring.window_rows` of them, and all of them by the week in which they were made. Predictions younger
    than `retraining.maturity_hours` do not count yet: of them one class may be known sooner than the other.

    Parameters
    ----------
    project : Project
        The settings in force, and where log and outcomes are.
    run : RunFolder
        The run.
    reference : DriftReference
        Its training rows, with what it said of them out-of-fold.
    not_monitored : iterable of str
        Features that the rows do not hold.

    Attributes
    ----------
    outcomes : OutcomeIndex
        The outcomes that came in.
    at_release : RealizedPerformance
        Of the training rows, out-of-fold: what the run was released with.
    """

    def __init__(
        self, project: Project, run: RunFolder, reference: DriftReference, not_monitored: Iterable[str]
    ) -> None:
        config = project.config
        self._run_id = run.run_id
        self._settings = config.monitoring.performance
        self._window_rows = config.monitoring.window_rows
        self._test_window_rows = config.monitoring.test_window_rows
        self._maturity = timedelta(hours=config.retraining.maturity_hours)
        self._threshold = run.threshold
        # how sure a verdict has to be is a setting of today; what was promised is the run's
        self._promise = msgspec.structs.replace(
            run.metrics.calibration.promise, confidence=config.business.confidence
        )
        self._weight_column = run.metrics.weight_column
        self._reference = _rated_reference(reference, set(not_monitored))
        self._log = PredictionLogReader(project.model_dir, [])
        self._not_in_log: set[str] = set()
        self._made: dict[bytes, PerformanceEstimate] = {}
        self.outcomes = OutcomeIndex(project.model_dir / FEEDBACK)
        self.at_release = measure_performance(
            reference.y_true,
            reference.y_proba,
            reference.y_proba >= self._threshold,
            confidence=self._settings.confidence,
        )

    def refresh(self) -> None:
        """Take in the outcomes that came since, each with the prediction it belongs to.

        Outcomes that were handed in before their line held the prediction are looked up in the log, once.
        """
        self.outcomes.refresh()
        unknown = set(self.outcomes.ids_without_run()) - self._not_in_log
        if unknown:
            found = self._log.find(unknown)
            self.outcomes.join(found)
            self._not_in_log |= unknown - found.keys()

    def matured_before(self) -> datetime:
        """Tell before when a prediction has to be made for its outcome to count."""
        return datetime.now(UTC) - self._maturity

    def labelled(self) -> LabelledPredictions:
        """Give the run's predictions whose outcome is known and matured."""
        before_us = int(self.matured_before().timestamp() * 1_000_000)
        return self.outcomes.labelled(self._run_id, before_us=before_us)

    def look_at(
        self, rows: DriftRows, prediction_ids: Sequence[str], window: PredictionWindow | None = None
    ) -> LatestRows:
        """Put rows together with what is known by now of their outcomes."""
        self.refresh()
        return LatestRows(rows, self.outcomes.find(prediction_ids).label, window)

    def estimate(self, rows: DriftRows) -> PerformanceEstimate:
        """Estimate performance without labels; of rows that were estimated before, say the same again.

        It takes most of a second, and may be called in any thread.
        """
        rated = _rated(rows)
        key = _digest(rated)
        if key not in self._made:
            with threadpool_limits(1):  # the matrices are small: threads that wait for each other cost most
                made = estimate_performance(self._reference, rated, self._threshold, self._settings)
            self._made[key] = made
            for old in list(self._made)[:-_REMEMBERED]:
                self._made.pop(old, None)
            return made
        return self._made[key]

    def estimates_for(self, latest: LatestRows) -> Iterator[Callable[[], PerformanceEstimate]]:
        """Give the estimates that `describe` will need: made before, in any thread, they cost it nothing."""
        for rows in (latest.rows, latest.known()):
            if rows is not None:
                yield partial(self.estimate, rows)

    def measure(self, labelled: LabelledPredictions, *, n_rows: int | None = None) -> RealizedPerformance:
        """Measure performance on predictions whose outcome is known, among so many predictions."""
        return measure_performance(
            labelled.label,
            labelled.probability,
            labelled.decision == 1,
            confidence=self._settings.confidence,
            label_delay_s=(labelled.time_us - labelled.predicted_us) / 1e6,
            n_rows=n_rows,
        )

    def decide_promise(
        self,
        labelled: LabelledPredictions | None = None,
        *,
        predictions: PredictionWindow | None = None,
    ) -> PromiseDecision:
        """Test what was promised again, on all that is known; not where the promise is one of weights."""
        labelled = self.labelled() if labelled is None else labelled
        n_windows = len(labelled) // self._test_window_rows
        stop = n_windows * self._test_window_rows
        decision = decide_objective(
            self._promise,
            _counts_of(labelled),
            _counts_of(labelled.rows(stop - self._test_window_rows, stop)) if n_windows else None,
            n_windows,
            predictions=predictions,
        )
        if self._weight_column is None:
            return decision
        # every outcome counts once here, and what was promised is of weights
        said = (
            f"the promise weighs rows by {self._weight_column}, and outcomes count each row once: "
            f"{decision.true_positive_rows:,} of {decision.predicted_positive_rows:,} positive decisions "
            "were right"
        )
        return replace(decision, verdict="undecided", reason=said)

    def decide_degradation(self, figures: PerformanceEstimate | RealizedPerformance) -> DegradationDecision:
        """Decide whether figures are worse than those at release."""
        # an estimate's own interval is about these rows' labels, not about rows like them
        now = figures.long_run if isinstance(figures, PerformanceEstimate) else figures.figures
        return decide_degradation(self.at_release.figures, now, self._settings)

    def labelled_windows(self, n_windows: int) -> Iterator[LabelledWindow]:
        """Judge the latest complete windows of labelled predictions, which do not overlap."""
        labelled = self.labelled()
        size = self._test_window_rows
        complete = len(labelled) // size
        for number in range(max(0, complete - n_windows), complete):
            rows = labelled.rows(number * size, (number + 1) * size)
            yield LabelledWindow(
                stop=(number + 1) * size,
                time=iso_utc(datetime.fromtimestamp(rows.predicted_us[-1] / 1e6, UTC)),
                degradation=self.decide_degradation(self.measure(rows)),
            )

    def describe(self, latest: LatestRows, rows_by_hour: Mapping[str, Counter[str]]) -> PerformanceAnswer:
        """Say all that is known.

        Parameters
        ----------
        latest : LatestRows
            The run's latest predictions, on which figures are estimated.
        rows_by_hour : mapping of str to Counter
            Predictions by run and hour; see `LogCensus`.
        """
        self.refresh()
        estimate = self.estimate(latest.rows)
        labelled = self.labelled()
        matured = self.matured_before()
        last = labelled.rows(max(0, len(labelled) - self._window_rows), len(labelled))
        realized = self.measure(last, n_rows=_predicted_since(last, rows_by_hour.get(self._run_id), matured))
        return PerformanceAnswer(
            run_id=self._run_id,
            rows=latest.rows.n_rows,
            at_release=self.at_release,
            estimated=estimate,
            estimated_degradation=self.decide_degradation(estimate),
            realized=realized,
            realized_degradation=self.decide_degradation(realized),
            promise=self.decide_promise(labelled, predictions=latest.window),
            estimate_against_truth=self._score_estimate(latest),
            weeks=describe_weeks(
                self.outcomes.weeks(),
                rows_by_hour,
                matured_before=matured,
                confidence=self._settings.confidence,
            ),
        )

    def _score_estimate(self, latest: LatestRows) -> dict[str, EstimateScore]:
        """Hold the estimate against the truth, on those of the latest rows whose outcome is known."""
        rows = latest.known()
        if rows is None:
            return {}
        realized = measure_performance(
            latest.outcome[latest.outcome != -1],
            rows.probability,
            rows.label == 1,
            confidence=self._settings.confidence,
        )
        return score_estimate(self.estimate(rows), realized)


def _counts_of(labelled: LabelledPredictions) -> DecisionCounts:
    decided = labelled.decision == 1
    return DecisionCounts(
        labelled_rows=len(labelled),
        positive_rows=int(labelled.label.sum()),
        predicted_positive_rows=int(decided.sum()),
        true_positive_rows=int(labelled.label[decided].sum()),
    )


def _predicted_since(
    labelled: LabelledPredictions, rows_by_hour: Counter[str] | None, before: datetime
) -> int:
    """Count the predictions from the hour of the first labelled one on, up to a moment."""
    if not len(labelled) or not rows_by_hour:
        return len(labelled)
    first = datetime.fromtimestamp(int(labelled.predicted_us[0]) / 1e6, UTC)
    start, stop = first.strftime("%Y-%m-%dT%H"), before.strftime("%Y-%m-%dT%H")
    counted = sum(rows for hour, rows in rows_by_hour.items() if start <= hour <= stop)
    return max(counted, len(labelled))


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


def _digest(rated: RatedRows) -> bytes:
    """Name rows by what an estimate rests on."""
    digest = hashlib.blake2b(rated.y_proba.tobytes(), digest_size=16)
    for columns in (rated.numeric, rated.categories):
        for name, values in columns.items():
            digest.update(f"{name}\0".encode())
            digest.update(np.ascontiguousarray(values).data)
    return digest.digest()


def _only(rows: DriftRows, mask: NDArray[np.bool_]) -> DriftRows:
    return replace(
        rows,
        numeric={name: values[mask] for name, values in rows.numeric.items()},
        codes={name: codes[mask] for name, codes in rows.codes.items()},
        probability=rows.probability[mask],
        label=rows.label[mask],
    )
