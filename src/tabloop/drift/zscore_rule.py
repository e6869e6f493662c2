"""The z-score rule: means in units of the training standard deviation, and the decision rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tabloop.artifacts.documents.drift_baseline import DriftBaseline
from tabloop.config.monitoring import MonitoringConfig
from tabloop.drift.moments import mean_and_std
from tabloop.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class DriftReport:
    """What the z-score rule says of a window.

    Attributes
    ----------
    samples_observed : int
        Rows in the window.
    enough_samples : bool
        Whether there are `drift_min_samples`; before that, nothing is called drift.
    zscores : dict of str to float
        By numeric feature; a feature without a value in the window is left out.
    drift_score_max_abs_z : float
        The largest of them, 0 where there are none.
    drifted_features : tuple of str
        Those that reach `drift_zscore_threshold`.
    predicted_positive_rate, reference_positive_rate : float
        The share of positive decisions in the window, and that of the training rows out-of-fold.
    covariate_shift, prediction_shift, should_retrain : bool
        Whether enough features drifted, whether the rate moved too far, whether either.
    """

    samples_observed: int
    enough_samples: bool
    zscores: dict[str, float]
    drift_score_max_abs_z: float
    drifted_features: tuple[str, ...]
    predicted_positive_rate: float
    reference_positive_rate: float
    covariate_shift: bool
    prediction_shift: bool
    should_retrain: bool

    @property
    def rate_words(self) -> str:
        """The two rates of predicted positives, in words."""
        return (
            f"{self.predicted_positive_rate:.3f} of the rows are predicted positive, "
            f"{self.reference_positive_rate:.3f} were in training"
        )

    @property
    def drifted_words(self) -> str:
        """The features that drifted, in words."""
        return f"drifted features: {', '.join(self.drifted_features) or 'none'}"


def check_drift(
    baseline: DriftBaseline,
    features: Mapping[str, NDArray[np.float64]],
    labels: NDArray[np.int8],
    config: MonitoringConfig,
) -> DriftReport:
    r"""Compare a window of served rows with the training rows.

    Parameters
    ----------
    baseline : DriftBaseline
        The description of the training rows.
    features : mapping of str to ndarray of float64, shape (n_rows,)
        The numeric features, raw and engineered; NaN is left out of the means.
    labels : ndarray of shape (n_rows,)
        The decisions, 0 or 1.
    config : MonitoringConfig
        The config's `monitoring` section.

    Returns
    -------
    report : DriftReport

    Raises
    ------
    DataError
        If the baseline cannot be computed with: a feature is missing from it or from the window, or has no
        finite mean and standard deviation.

    Notes
    -----
    :math:`z = |\bar{x}_{now} - \bar{x}_{train}| / s_{train}`. A feature that was constant in training has
    the largest float for its `z` as soon as its mean moves.

    Examples
    --------
    >>> from tabloop.artifacts.documents.drift_baseline import NumericBaseline
    >>> baseline = DriftBaseline(
    ...     rows=10, training_positive_rate=0.1, predicted_positive_rate=0.1, decision_threshold=0.9,
    ...     numeric={"days": NumericBaseline(mean=100.0, std=10.0)}, categories={},
    ...     probability=NumericBaseline(mean=0.5, std=0.3))
    >>> config = MonitoringConfig(drift_min_samples=3, drift_min_features=1)
    >>> report = check_drift(baseline, {"days": np.array([140.0, 150.0, 160.0])}, np.array([0, 0, 0]), config)
    >>> report.drift_score_max_abs_z, report.drifted_features, report.should_retrain
    (5.0, ('days',), True)
    """
    numeric = baseline.numeric
    problems = [f"feature {name}: not in the window" for name in numeric if name not in features]
    zscores: dict[str, float] = {}
    for name, values in features.items():
        described = numeric.get(name)
        if described is None:
            problems.append(f"feature {name}: not in the drift baseline")
            continue
        mean, std = described.mean, described.std
        if mean is None or std is None:  # it had no value in training either
            continue
        if not (np.isfinite(mean) and np.isfinite(std) and std >= 0):
            problems.append(f"feature {name}: the baseline has mean {mean} and std {std}")
            continue
        present = values[~np.isnan(values)]
        if len(present):
            zscores[name] = _zscore(mean_and_std(present)[0], mean, std)
    reference = baseline.predicted_positive_rate
    if not 0 <= reference <= 1:
        problems.append(f"predicted_positive_rate: the baseline has {reference}, expected a rate")
    if problems:
        raise DataError("the drift monitor cannot compute\n  " + "\n  ".join(problems))
    n_rows = len(labels)
    rate = float(labels.mean()) if n_rows else 0.0
    enough = n_rows >= config.drift_min_samples
    drifted = tuple(name for name, z in zscores.items() if z >= config.drift_zscore_threshold)
    covariate = enough and len(drifted) >= config.drift_min_features
    prediction = enough and abs(rate - reference) > config.class_rate_shift_threshold
    return DriftReport(
        samples_observed=n_rows,
        enough_samples=enough,
        zscores=zscores,
        drift_score_max_abs_z=max(zscores.values(), default=0.0),
        drifted_features=drifted,
        predicted_positive_rate=rate,
        reference_positive_rate=float(reference),
        covariate_shift=covariate,
        prediction_shift=prediction,
        should_retrain=covariate or prediction,
    )


def _zscore(mean_now: float, mean: float, std: float) -> float:
    most = float(np.finfo(np.float64).max)
    distance = abs(mean_now - mean)
    if std > 1e-12 * max(1.0, abs(mean)):  # less is the rounding of a constant
        return min(distance / std, most)
    # sums of equal numbers differ in the last bits
    return 0.0 if distance <= 1e-9 * max(1.0, abs(mean)) else most
