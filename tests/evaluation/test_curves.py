from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from tabloop.evaluation.curves import confusion, rate_curve, reliability, score_histogram
from tabloop.evaluation.figures import bounded_figures
from tabloop.statistics.figure_intervals import mean_interval
from tabloop.statistics.intervals import exact_interval
from tabloop.statistics.row_marks import RowMarks

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


def test_rows_that_weigh_like_several_count_like_several() -> None:
    """Whole weights give the figures of rows that stand there so many times; intervals know better."""
    rng = np.random.default_rng(6)
    y, scores = Y[:800], SCORES[:800]
    weights = rng.integers(0, 4, len(y))
    marks = RowMarks(weights=weights.astype(np.float64))
    y_often, scores_often = np.repeat(y, weights), np.repeat(scores, weights)
    for point in rate_curve(y, scores, marks)[::10]:
        decided = scores_often >= point.threshold
        assert point.precision == pytest.approx(precision_score(y_often, decided, zero_division=0.0))
        assert point.true_positive_rate == pytest.approx(recall_score(y_often, decided))
        assert point.predicted_positive_share == pytest.approx(decided.mean())
        assert point.false_positive_rate == pytest.approx(decided[y_often == 0].mean())
        low, high = point.true_positive_interval
        hits = int((decided & (y_often == 1)).sum())
        if 0 < hits < y_often.sum():
            assert high - low > np.diff(exact_interval(hits, int(y_often.sum())))[0]
    table, often = confusion(y, scores, 0.5, marks), confusion(y_often, scores_often, 0.5)
    assert table.true_positive.per_1000 == pytest.approx(often.true_positive.per_1000)
    assert table.true_positive.rows == int(((scores >= 0.5) & (y == 1)).sum())
    figures, of_often = bounded_figures(y, scores, 0.5, marks), bounded_figures(y_often, scores_often, 0.5)
    for name, figure in figures.items():
        assert figure.value == pytest.approx(of_often[name].value), name
        assert figure.interval[0] <= figure.value <= figure.interval[1]
        assert np.diff(figure.interval)[0] > np.diff(of_often[name].interval)[0], name
    bins = reliability(y, scores, marks)
    assert sum(each.rows for each in bins) == len(y)


def test_groups_widen_every_interval_and_change_no_figure() -> None:
    twice = np.repeat(np.arange(len(Y)), 3)
    marks = RowMarks(groups=twice.astype(np.uint64))
    y, scores = Y[twice], SCORES[twice]
    alone, grouped = bounded_figures(y, scores, 0.5), bounded_figures(y, scores, 0.5, marks)
    for name, figure in grouped.items():
        assert figure.value == pytest.approx(alone[name].value), name
        # three equal rows say what one says
        wider = np.diff(figure.interval)[0] / np.diff(alone[name].interval)[0]
        assert 1.2 < wider < 2.2, name


@pytest.mark.parametrize("marked", ["weights", "groups"])
def test_intervals_of_marked_rows_hold(marked: str) -> None:
    """An interval of a Brier score that counted rows would hold in less than nine draws of ten."""
    rng, held = np.random.default_rng(2), 0
    for _ in range(1000):
        proba = rng.random(300)
        weights = rng.exponential(size=300) if marked == "weights" else None
        y = (rng.random(300) < proba).astype(np.int8)
        marks = RowMarks(weights=weights)
        if marked == "groups":
            proba, y = np.repeat(proba, 4), np.repeat(y, 4)
            marks = RowMarks(groups=np.repeat(np.arange(300, dtype=np.uint64), 4))
        low, high = mean_interval((proba - y) ** 2, marks)
        held += low <= 1 / 6 <= high
    assert held > 915
