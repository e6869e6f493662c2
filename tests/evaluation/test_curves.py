from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from tabloop.evaluation.curves import confusion, rate_curve, reliability, score_histogram
from tabloop.statistics.intervals import exact_interval

RNG = np.random.default_rng(3)
Y = (RNG.random(3_000) < 0.07).astype(np.int8)
SCORES = np.clip(0.3 * Y + RNG.normal(0.3, 0.15, len(Y)), 0, 1).round(3)


def test_every_point_of_the_curve_is_what_its_threshold_decides() -> None:
    curve = rate_curve(Y, SCORES)
    assert 50 < len(curve) <= 201
    for point in curve[::20]:
        decided = point.threshold <= SCORES
        assert point.true_positive_rate == pytest.approx(recall_score(Y, decided))
        assert point.precision == pytest.approx(precision_score(Y, decided))
        assert point.predicted_positive_rows == decided.sum()
        hits = int((decided & (Y == 1)).sum())
        assert point.precision_interval == pytest.approx(exact_interval(hits, int(decided.sum())))
        assert point.true_positive_interval == pytest.approx(exact_interval(hits, int(Y.sum())))
    area = np.trapezoid(
        [0.0, *(p.true_positive_rate for p in curve)], [0.0, *(p.false_positive_rate for p in curve)]
    )
    assert area == pytest.approx(roc_auc_score(Y, SCORES), abs=0.002)


def test_the_counts_of_all_pictures_are_those_of_the_rows() -> None:
    table = confusion(Y, SCORES, 0.5)
    cells = (table.true_positive, table.false_positive, table.false_negative, table.true_negative)
    assert sum(cell.rows for cell in cells) == len(Y)
    assert table.true_positive.rows + table.false_negative.rows == Y.sum()
    assert sum(cell.per_1000 for cell in cells) == pytest.approx(1000)
    bins = reliability(Y, SCORES)
    assert sum(each.rows for each in bins) == len(Y)
    assert sum(each.rows * each.observed_rate for each in bins) == pytest.approx(Y.sum())
    histogram = score_histogram(Y, SCORES)
    assert sum(histogram.negative_rows) + sum(histogram.positive_rows) == len(Y)


def test_one_score_for_all_rows_is_one_point_and_one_bin() -> None:
    y, scores = np.array([0, 1], dtype=np.int8), np.array([0.5, 0.5])
    assert [(p.threshold, p.precision) for p in rate_curve(y, scores)] == [(0.5, 0.5)]
    assert [each.rows for each in reliability(y, scores)] == [2]
