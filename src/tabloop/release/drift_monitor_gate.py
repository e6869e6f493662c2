"""The gate of the monitor: drift can be computed, the run's own rows show none, planted drift is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tabloop.artifacts.documents.gates import Gate, evidence_number
from tabloop.artifacts.layout import DRIFT_REFERENCE
from tabloop.artifacts.run import RunFolder
from tabloop.config.config import Config
from tabloop.contract.feature_table import feature_frame
from tabloop.cores import cpu_count
from tabloop.data.run_data import RunData
from tabloop.drift.reference import DriftReference
from tabloop.drift.window import DriftWindow
from tabloop.drift.windowed_test import WindowedDriftTest
from tabloop.drift.zscore_rule import check_drift
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import ScoringService
from tabloop.training.folds import forward_folds

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Twice what the z-score rule calls drift
_PLANTED_SHIFT = 2.0
# seconds for minutes
_PLANTED_UNIT = 60.0
# of fewer training rows the windowed tests say nothing
_LEAST_REFERENCE_ROWS = 100


def judge_drift_monitor(config: Config, run: RunFolder, service: ScoringService, data: RunData) -> Gate:
    """Check that drift can be computed, that the run's own rows show none, and that planted drift is seen.

    The z-score rule is shown a shift in each feature, the windowed tests a unit error in each with a unit.
    """
    baseline = run.drift_baseline
    typed = _reference_rows(data).head(max(5_000, config.monitoring.drift_min_samples))
    frame = feature_frame(data.contract, typed)
    features = {name: frame[name].to_numpy() for name in data.contract.numeric_features}
    labels = service.decide(columns_of_frame(data.contract, typed)).label
    quiet = check_drift(baseline, features, labels, config.monitoring)
    rule = config.monitoring.model_copy(update={"drift_min_features": 1, "drift_min_samples": 1})
    shifted = {}  # all at once: each feature is judged by its own values, so one look is enough for all
    for name, values in features.items():
        mean, std = baseline.numeric[name].mean, baseline.numeric[name].std
        if mean is None or std is None:
            continue  # a feature without any value: nothing can be planted in it
        # a constant has no spread to measure in: any move that is more than rounding has to be seen
        unit = std if std > 0 else 1e-6 * max(1.0, abs(mean))
        shifted[name] = values + _PLANTED_SHIFT * rule.drift_zscore_threshold * unit
    seen = set(check_drift(baseline, features | shifted, labels, rule).drifted_features)
    unseen = [name for name in shifted if name not in seen]
    problems = []
    if quiet.covariate_shift:
        problems.append(f"it calls its own training rows drift: {', '.join(quiet.drifted_features)}")
    if unseen:
        problems.append(f"it does not see a shift planted in {', '.join(unseen)}")
    windowed = _try_windowed_tests(config, run, frame)
    problems += windowed["problems"]
    said = (
        f"its own rows score at most {quiet.drift_score_max_abs_z:.2f}; "
        f"a shift planted in each of {len(features)} features is seen; {windowed['said']}"
    )
    evidence = {
        "samples": quiet.samples_observed,
        "max_abs_z_on_training_rows": evidence_number(quiet.drift_score_max_abs_z),
        "planted_shift_std": _PLANTED_SHIFT * rule.drift_zscore_threshold,
        "features": len(features),
        "unseen": unseen,
        "windowed": windowed,
    }
    return Gate("drift_monitor", not problems, "; ".join(problems) or said, evidence)


def _reference_rows(data: RunData) -> pl.DataFrame:
    """Give the training rows that the drift reference is made of: of a split by time not the earliest."""
    times = data.split.train_marks.times
    if times is None:
        return data.split.train
    return data.split.train.filter(pl.Series(forward_folds(times, data.config.cv.n_splits).scored))


def _try_windowed_tests(config: Config, run: RunFolder, frame: pl.DataFrame) -> dict[str, Any]:
    """Let the windowed tests look at the run's own rows, and at a window of them with a unit error."""
    reference = DriftReference.load(run.read(DRIFT_REFERENCE))
    report: dict[str, Any] = {"reference_rows": reference.n_rows, "problems": [], "unseen": []}
    n_rows = min(frame.height, config.monitoring.test_window_rows)
    if reference.n_rows < _LEAST_REFERENCE_ROWS or n_rows < config.monitoring.drift_min_samples:
        return report | {"said": f"{reference.n_rows} reference rows are too few to try the windowed tests"}
    lost = set(frame.columns).symmetric_difference(
        {*reference.numeric_features, *reference.category_features}
    )
    if lost:
        report["problems"].append(f"the reference does not fit the contract: {', '.join(sorted(lost))}")
        return report | {"said": ""}
    test = WindowedDriftTest(reference, config.monitoring, seed=config.seed)
    test.prepare((frame.height, n_rows), threads=cpu_count())
    features = {name: frame[name].to_numpy() for name in reference.numeric_features}
    categories = {name: frame[name].to_list() for name in reference.category_features}

    def alarms(now: dict[str, NDArray[np.float64]], rows: int) -> list[str]:
        window = DriftWindow(reference, rows)
        # out-of-fold: what the fitted model says of its own training rows is not what it says of others
        probability = np.resize(reference.y_proba, frame.height)
        window.update(now, categories, probability, np.zeros(frame.height, dtype=np.int8))
        return [alarm.feature for alarm in test.check(window.latest(rows)).alarms]

    if quiet := alarms(features, frame.height):
        report["problems"].append(f"the windowed tests call its own training rows drift: {', '.join(quiet)}")
    planted = [
        name
        for name, values in zip(reference.numeric_features, reference.numeric.T, strict=True)
        # of mostly zeros, or of one constant, a wrong unit changes too little to be seen
        if np.mean(np.nan_to_num(values) != 0) >= 0.5 and np.nanmin(values) < np.nanmax(values)
    ]
    mistaken = {name: features[name] * _PLANTED_UNIT for name in planted}
    seen = set(alarms(features | mistaken, n_rows)) if planted else set()
    report["unseen"] = [name for name in planted if name not in seen]
    if report["unseen"]:
        said = ", ".join(report["unseen"])
        report["problems"].append(f"the windowed tests do not see a unit error planted in {said}")
    said = f"a unit error planted in each of {len(planted)} of them is seen in {n_rows:,} rows"
    return report | {"window_rows": n_rows, "features": len(planted), "said": said}
