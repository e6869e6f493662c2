from __future__ import annotations

import numpy as np
import pytest
from tests.drift.conftest import Population

from tabloop.artifacts.documents.document import document_bytes
from tabloop.config.monitoring import MonitoringConfig
from tabloop.drift import operating_table
from tabloop.drift.operating_table import build_operating_table
from tabloop.drift.reference import DriftReference


def test_the_table_holds_what_was_measured(reference: DriftReference) -> None:
    table = build_operating_table(reference, MonitoringConfig(), seed=1)
    document_bytes(table)  # neither NaN nor infinity
    assert table.window_rows == (50, 100, 200, 500, 1000)
    assert table.reference_rows == 4000
    rows = {shift.shift: shift for shift in table.shifts}
    quiet = rows["none"]
    assert quiet.interval is not None
    for fraction, n, (low, high) in zip(quiet.alarm_fraction, quiet.windows, quiet.interval, strict=True):
        assert low <= fraction <= high
        assert low <= 0.01, (fraction, n)
    at = table.window_rows.index(1000)
    assert rows["mean by 0.25 sd, two features"].alarm_fraction[at] >= 0.95
    assert rows["mean by 1 sd, one feature"].alarm_fraction[at] == 1.0
    assert rows["unit error x1000"].alarm_fraction[0] >= 0.9
    assert rows["5% nulls in one feature"].alarm_fraction[at] >= 0.7  # one feature has 20% already
    weak, strong = (rows[f"mean by {s} sd, one feature"].alarm_fraction[0] for s in ("0.1", "1"))
    assert weak < strong
    told: list[float] = []
    assert table == build_operating_table(reference, MonitoringConfig(), seed=1, progress=told.append)
    assert told == sorted(told)
    assert len(told) > 20
    assert told[-1] == pytest.approx(1.0)


def test_a_small_table_is_called_quiet_as_often_as_it_is(population: Population) -> None:
    # windows from the second half of so few rows differ from the first half whatever they are: 28% alarmed
    table = build_operating_table(population.reference(1600, seed=5), MonitoringConfig(), seed=2)
    quiet = table.shifts[0]
    assert quiet.shift == "none"
    assert max(quiet.alarm_fraction) <= 0.03


def test_a_wide_table_has_fewer_windows_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # a tenth of the values that may be drawn makes a table of nine features a wide one
    monkeypatch.setattr(operating_table, "_MOST_QUIET_VALUES", operating_table._MOST_QUIET_VALUES // 10)
    rng = np.random.default_rng(3)
    n_rows, n_features = 210, 9
    wide = DriftReference(
        numeric_features=tuple(f"f{at}" for at in range(n_features)),
        category_features=(),
        numeric=rng.normal(size=(n_rows, n_features)),
        codes=np.zeros((n_rows, 0), dtype=np.int32),
        vocabulary=(),
        y_true=np.zeros(n_rows, dtype=np.int8),
        y_proba=rng.random(n_rows),
        training_rows=n_rows,
    )
    table = build_operating_table(wide, MonitoringConfig(), seed=4)
    quiet = table.shifts[0]
    assert list(quiet.windows) == sorted(quiet.windows, reverse=True)
    assert quiet.windows[-1] < 2_000
    assert quiet.interval is not None
    assert quiet.interval[-1][1] > 0.003


def test_few_rows_have_no_table_and_no_error(population: Population) -> None:
    assert build_operating_table(population.reference(150), MonitoringConfig(), seed=1).shifts == ()


@pytest.mark.parametrize("constant", [True, False])
def test_odd_references_have_a_table(reference: DriftReference, constant: bool) -> None:
    few = reference.take(np.arange(400))
    few.numeric[:, 0] = 3.0 if constant else np.nan
    table = build_operating_table(few, MonitoringConfig(test_window_rows=100), seed=1)
    assert table.window_rows == (50, 100, 200)
    document_bytes(table)  # neither NaN nor infinity
