"""The bounds of figures that are no rates hold as often as they say."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, f1_score

from tabloop.statistics.figure_intervals import (
    average_precision_interval,
    brier_score_interval,
    f1_interval,
)


def test_the_intervals_hold_the_truth_of_a_large_population_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)

    def drawn(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        y = (rng.random(n_rows) < 0.2).astype(np.int8)
        return y, 1 / (1 + np.exp(1.5 - 2.0 * y - rng.normal(size=n_rows)))

    y, scores = drawn(200_000)
    truth = (
        average_precision_score(y, scores),
        f1_score(y, scores >= 0.5),
        float(np.mean((scores - y) ** 2)),
    )
    held = np.zeros(3)
    for _ in range(300):
        y, scores = drawn(600)
        decided = scores >= 0.5
        hits, wrong = int((decided & (y == 1)).sum()), int((decided != (y == 1)).sum())
        found = (
            average_precision_interval(float(average_precision_score(y, scores)), int(y.sum())),
            f1_interval(hits, wrong),
            brier_score_interval(y, scores),
        )
        held += [low <= true <= high for true, (low, high) in zip(truth, found, strict=True)]
    assert (held / 300 > 0.9).all()
    assert (held / 300 < 0.995).all()


def test_nothing_is_bounded_by_everything() -> None:
    assert average_precision_interval(1.0, 20) == (0.0, 1.0)
    assert average_precision_interval(0.5, 0) == (0.0, 1.0)
    assert f1_interval(0, 0) == (0.0, 1.0)
    assert brier_score_interval(np.array([1], dtype=np.int8), np.array([0.5])) == (0.0, 1.0)
