"""The answer about one feature, as `GET /monitoring/feature` gives it."""

from __future__ import annotations

import msgspec
import numpy as np

from tabloop.artifacts.documents.drift_baseline import DriftBaseline
from tabloop.deployment.dashboard_types.drift import Bins, Categories, DriftTest, FeatureNow
from tabloop.drift.histograms import CategoryHistogram, FeatureHistogram, ValueHistogram
from tabloop.drift.tracker import WindowVerdict
from tabloop.drift.window import DriftRows
from tabloop.drift.zscore_rule import DriftReport
from tabloop.errors import NotFoundError, suggestion

PROBABILITY = "predicted_probability"


def describe_feature(
    name: str,
    rule: DriftReport,
    rows: DriftRows,
    baseline: DriftBaseline,
    *,
    latest: WindowVerdict | None,
    not_monitored: tuple[str, ...],
    histogram: ValueHistogram | None,
    run_id: str,
) -> FeatureNow:
    """Put together what is known of one feature.

    Parameters
    ----------
    name : str
        The feature, or `predicted_probability`.
    rule, rows, baseline, latest, not_monitored, run_id
        As `describe_drift` takes them.
    histogram : FeatureHistogram, CategoryHistogram or None
        The latest rows beside the reference.

    Raises
    ------
    NotFoundError
        If there is no feature of that name.
    """
    known = {*baseline.numeric, *baseline.categories, PROBABILITY, *not_monitored}
    if name not in known:
        raise NotFoundError(f"no feature is called {name[:100]!r}{suggestion(name[:100], sorted(known))}")
    training = baseline.numeric.get(name)
    values = rows.probability if name == PROBABILITY else rows.numeric.get(name)
    present = None if values is None else values[~np.isnan(values)]
    tests = () if latest is None else latest.tests
    return FeatureNow(
        feature=name,
        run_id=run_id,
        rows=rows.n_rows,
        monitored=name not in not_monitored,
        zscore=rule.zscores.get(name),
        drifted=name in rule.drifted_features,
        mean=float(present.mean()) if present is not None and len(present) else None,
        training_mean=None if training is None else training.mean,
        training_std=None if training is None else training.std,
        bins=msgspec.convert(histogram, Bins, from_attributes=True)
        if isinstance(histogram, FeatureHistogram)
        else None,
        categories=msgspec.convert(histogram, Categories, from_attributes=True)
        if isinstance(histogram, CategoryHistogram)
        else None,
        window_start=None if latest is None else latest.start,
        window_stop=None if latest is None else latest.stop,
        tests=[
            msgspec.convert(test, DriftTest, from_attributes=True) for test in tests if test.feature == name
        ],
    )
