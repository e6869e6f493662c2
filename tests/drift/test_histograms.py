"""What is counted of a category beside the reference."""

from __future__ import annotations

import numpy as np

from tabloop.drift.histograms import CategoryHistogram, compare_histograms
from tabloop.drift.reference import DriftReference
from tabloop.drift.window import DriftWindow


def test_every_row_of_a_category_counts_somewhere() -> None:
    words = tuple(f"c{i:02}" for i in range(30))
    codes = np.array([-1, *[0] * 40, *range(30)], dtype=np.int32)[:, None]
    n = len(codes)
    reference = DriftReference(
        (), ("k",), np.empty((n, 0)), codes, (words,), np.zeros(n, np.int8), np.full(n, 0.5), n
    )
    window = DriftWindow(reference, 100)
    now = ["new"] * 50 + ["c07"] * 20 + ["c00"] * 5 + [None] * 3
    window.update({}, {"k": now}, np.full(len(now), 0.5), np.zeros(len(now)))
    found = compare_histograms(reference, window.latest(100), ["k", "k", "unknown"])
    assert list(found) == ["k"]
    counted = found["k"]
    assert isinstance(counted, CategoryHistogram)
    assert counted.values[:3] == ("new", "c00", "c07")
    assert counted.current_rows[:3] == (50, 5, 20)
    assert counted.reference_rows[:3] == (0, 41, 1)
    assert len(counted.values) == 10
    assert sum(counted.reference_rows) + counted.other_reference_rows + counted.missing_reference_rows == n
    assert sum(counted.current_rows) + counted.other_current_rows == 75
    assert (counted.missing_reference_rows, counted.missing_current_rows) == (1, 3)
