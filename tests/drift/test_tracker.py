"""Verdicts follow from the rows and their order alone, and equal a recomputation."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drift.conftest import COUNTRIES, Population, drift_of_rows

from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.documents.drift_baseline import DriftBaseline
from tabloop.config.monitoring import MonitoringConfig
from tabloop.drift.baseline import describe_numbers
from tabloop.drift.history import DriftFollower
from tabloop.drift.reference import DriftReference
from tabloop.drift.scored_rows import ScoredRows
from tabloop.drift.tracker import AlarmedWindow, DriftTracker, WindowVerdict
from tabloop.drift.zscore_rule import check_drift

CONFIG = MonitoringConfig(window_rows=700, test_window_rows=300)


def scored(population: Population, n: int, seed: int) -> ScoredRows:
    drawn = population.draw(n, seed)
    return ScoredRows(
        features={name: drawn[name] for name in population.numeric_features},
        categories={"country": [COUNTRIES[code] for code in drawn["country"]]},
        probability=drawn["probability"],
        label=(drawn["probability"] > 0.5).astype(np.int8),
    )


def with_feature(rows: ScoredRows, name: str, values: Any) -> ScoredRows:
    return rows._replace(features={**rows.features, name: values})


@pytest.fixture(scope="module")
def baseline(reference: DriftReference) -> DriftBaseline:
    columns = zip(reference.numeric_features, reference.numeric.T, strict=True)
    return DriftBaseline(
        rows=reference.n_rows,
        training_positive_rate=float(reference.y_true.mean()),
        predicted_positive_rate=float((reference.y_proba > 0.5).mean()),
        decision_threshold=0.5,
        numeric={name: describe_numbers(values) for name, values in columns},
        categories={},
        probability=describe_numbers(reference.y_proba),
    )


@pytest.fixture(scope="module")
def drifting(population: Population) -> ScoredRows:
    """Quiet for 700 rows; then one column goes null for 30 rows; from 1,000 on another has moved."""
    rows = scored(population, 1550, seed=3)
    bell, tail = rows.features["bell"].copy(), rows.features["tail"].copy()
    bell[700:730] = np.nan
    tail[1000:] *= 3
    return with_feature(with_feature(rows, "bell", bell), "tail", tail)


def follow(
    reference: DriftReference, baseline: DriftBaseline, rows: ScoredRows, cuts: list[int]
) -> tuple[list[WindowVerdict], DriftTracker]:
    monitor = DriftTracker(reference, baseline, CONFIG)
    verdicts = []
    for start, stop in pairwise([0, *sorted(cuts), len(rows.probability)]):
        verdicts += monitor.update(rows.cut(start, stop))
    return verdicts, monitor


def test_what_is_decided_when(
    reference: DriftReference, baseline: DriftBaseline, drifting: ScoredRows
) -> None:
    verdicts, monitor = follow(reference, baseline, drifting, [])
    told = [(v.start, v.stop, v.complete, {a.feature for a in v.alarms}) for v in verdicts]
    assert told == [
        (0, 300, True, set()),
        (300, 600, True, set()),
        (600, 750, False, {"bell"}),  # at the next checkpoint, not at the end of the window
        (600, 900, True, {"bell"}),
        (900, 1200, True, {"tail"}),
        (1200, 1500, True, {"tail"}),
    ]
    assert monitor.latest == verdicts[-1]
    assert "tail" in {
        alarm.feature
        for alarm in monitor.test.check(monitor.window.latest(monitor.config.window_rows)).alarms
    }


@pytest.fixture(scope="module")
def followed(
    reference: DriftReference, baseline: DriftBaseline, drifting: ScoredRows
) -> tuple[list[WindowVerdict], DriftTracker]:
    return follow(reference, baseline, drifting, [])


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 1550), max_size=30))
def test_batches_do_not_matter(
    reference: DriftReference,
    baseline: DriftBaseline,
    drifting: ScoredRows,
    followed: tuple[list[WindowVerdict], DriftTracker],
    cuts: list[int],
) -> None:
    once, at_once = followed
    split, in_parts = follow(reference, baseline, drifting, cuts)
    assert once == split
    assert at_once.check_rule() == in_parts.check_rule()


def test_the_documented_rule_is_that_of_the_latest_rows(
    reference: DriftReference, baseline: DriftBaseline, drifting: ScoredRows
) -> None:
    _, monitor = follow(reference, baseline, drifting, list(range(16, 1550, 16)))
    latest = drifting.cut(850, 1550)
    expected = check_drift(baseline, dict(latest.features), latest.label, CONFIG)
    assert monitor.check_rule() == expected
    assert expected.samples_observed == 700


def test_a_log_says_what_a_monitor_said(
    reference: DriftReference, baseline: DriftBaseline, drifting: ScoredRows
) -> None:
    verdicts, monitor = follow(reference, baseline, drifting, [])
    batches = (drifting.cut(start, start + 77) for start in range(0, 1550, 77))
    history = drift_of_rows(batches, DriftFollower(reference, baseline, CONFIG))
    assert history.alarmed == tuple(AlarmedWindow.of(v) for v in verdicts if v.complete and v.alarms)
    assert (history.rows, history.windows) == (1550, 5)
    assert history.rule == monitor.check_rule()
    json.dumps(json_values(history), allow_nan=False)
    # the last window of a shorter log is not complete, its surge is told all the same
    early = drift_of_rows([drifting.cut(0, 760)], DriftFollower(reference, baseline, CONFIG))
    assert [(v.start, v.stop, v.complete) for v in early.alarmed] == [(600, 750, False)]
    nothing = drift_of_rows([], DriftFollower(reference, baseline, CONFIG))
    assert (nothing.rows, nothing.rule.should_retrain, nothing.alarmed) == (0, False, ())


def test_a_log_that_omits_columns_is_read_without_them(
    reference: DriftReference, baseline: DriftBaseline, drifting: ScoredRows
) -> None:
    left = drifting._replace(
        features={n: v for n, v in drifting.features.items() if n != "tail"}, categories={}
    )
    history = drift_of_rows(
        [left], DriftFollower(reference, baseline, CONFIG, not_monitored=("tail", "country"))
    )
    assert history.not_monitored == ("tail", "country")
    assert set(history.rule.zscores) == {"bell", "zeros", "holes"}
    assert {a.feature for v in history.alarmed for a in v.alarms} == {"bell"}


def test_quiet_rows_hardly_ever_alarm_on_the_way(
    population: Population, reference: DriftReference, baseline: DriftBaseline
) -> None:
    rows = scored(population, 60_000, seed=8)
    history = drift_of_rows([rows], DriftFollower(reference, baseline, CONFIG))
    assert history.windows == 200
    assert len(history.alarmed) <= 7  # 2 are expected at most, 8 would come once in a thousand times


def test_the_monitor_imports_nothing_that_trains() -> None:
    code = (
        "import sys, tabloop.drift.tracker, tabloop.drift.scored_rows, tabloop.monitoring.monitor_process; "
        # scipy.stats alone takes longer to import than all the rest
        "print(sorted({'polars', 'sklearn', 'joblib', 'pandas', 'scipy.stats'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
