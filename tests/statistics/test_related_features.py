"""Of many features those are chosen that tell about the score, whichever way and of whichever kind."""

from __future__ import annotations

import numpy as np

from tabloop.config.performance import PerformanceConfig
from tabloop.performance.estimate import RatedRows, estimate_performance
from tabloop.statistics.related_features import most_related


def test_curves_categories_and_gaps_are_found_among_noise() -> None:
    rng = np.random.default_rng(0)
    n = 3_000
    curve, group, gap = rng.normal(size=n), rng.integers(0, 5, n), rng.random(n) < 0.3
    score = curve**2 + (group == 2) * 1.5 + gap * 1.5
    noise = {f"noise_{place}": rng.normal(size=n) for place in range(60)}
    many = {f"codes_{place}": rng.integers(0, 500, n) for place in range(5)}
    numeric = noise | {"curve": curve, "gap": np.where(gap, np.nan, rng.normal(size=n))}
    chosen = most_related(numeric, many | {"group": group}, score, 3)
    assert chosen == {"curve", "gap", "group"}
    assert most_related(numeric, many, score, 67) == {*numeric, *many}


def test_a_shift_among_many_columns_is_still_weighed() -> None:
    rng = np.random.default_rng(1)
    n, noise = 4_000, 80
    x = rng.normal(size=n)
    hidden = rng.normal(size=n)
    probability = 1 / (1 + np.exp(-2 * x))
    y_true = (rng.random(n) < probability).astype(np.int8)
    columns = {"x": x, "hidden": hidden} | {f"noise_{place}": rng.normal(size=n) for place in range(noise)}
    reference = RatedRows(columns, {}, probability, y_true)
    moved = rng.normal(1.0, 1.0, 1_000)
    window = RatedRows(
        {"x": moved, "hidden": rng.normal(size=1_000)}
        | {f"noise_{place}": rng.normal(size=1_000) for place in range(noise)},
        {},
        1 / (1 + np.exp(-2 * moved)),
    )
    estimate = estimate_performance(reference, window, 0.5, PerformanceConfig())
    assert estimate.effective_rows < 0.7 * n
    right = float((1 / (1 + np.exp(-2 * moved[moved >= 0]))).mean())
    assert abs(estimate.figures["precision"].value - right) < 0.02
