import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tabloop.artifacts.documents.metrics import ThresholdReport
from tabloop.training.threshold import calibrate_threshold

pytestmark = pytest.mark.examples

Table = tuple[np.ndarray, np.ndarray]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Labels of both classes and scores: spread, with many ties, or adjacent floats; informative or not."""
    n_rows = draw(st.integers(2, 600))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["spread", "tied", "adjacent", "any"]))
    if kind == "any":
        scores = draw(arrays.arrays(np.float64, n_rows, elements=st.floats(0, 1)))
    elif kind == "adjacent":
        scores = 0.5 + rng.integers(0, draw(st.integers(1, 400)), n_rows) * 2.0**-53
    else:
        scores = rng.random(n_rows)
        if kind == "tied":
            scores = np.round(scores * draw(st.integers(1, 12))) / 12 % 1.0
    sharpness = draw(st.sampled_from([0.0, 2.0, 20.0]))
    shift = draw(st.floats(-3, 3))
    standing = np.argsort(np.argsort(scores)) / n_rows
    y = (rng.random(n_rows) < 1 / (1 + np.exp(shift - sharpness * (standing - 0.5)))).astype(int)
    y[draw(st.integers(0, n_rows - 2))], y[-1] = 1, 0
    return y, scores


targets = st.sampled_from([0.05, 0.5, 0.8, 0.9, 0.99])
confidences = st.sampled_from([0.6, 0.9, 0.95, 0.99])


def calibrate(table: Table, target: float = 0.8, confidence: float = 0.9) -> ThresholdReport:
    return calibrate_threshold(*table, target_precision=target, confidence=confidence)


@settings(deadline=None)
@given(tables(), targets, confidences)
def test_counts_equal_a_recount(table: Table, target: float, confidence: float) -> None:
    y, scores = table
    report = calibrate(table, target, confidence)
    decided = scores >= report.threshold
    assert report.predicted_positive_rows == decided.sum() > 0
    assert report.true_positive_rows == y[decided].sum()
    assert (report.positive_rows, report.n_rows) == (y.sum(), len(y))
    for step in report.steps:
        decided = scores >= step.threshold
        assert step.rows == decided.sum()
        assert np.isclose(step.precision, y[decided].mean(), rtol=1e-12)
        assert np.isclose(step.recall, y[decided].sum() / y.sum(), rtol=1e-12)


@settings(deadline=None)
@given(tables(), targets, confidences)
@example((np.array([0, 1]), np.array([0.0, 0.0])), 0.9, 0.95)
@example((np.array([0, 1]), np.array([5e-324, 0.0])), 0.9, 0.95)
@example((np.array([1, 0]), np.array([1.0, np.nextafter(1, 0)])), 0.9, 0.95)
def test_threshold_lies_strictly_between_neighbours(table: Table, target: float, confidence: float) -> None:
    _, scores = table
    report = calibrate(table, target, confidence)
    above, below = scores[scores >= report.threshold], scores[scores < report.threshold]
    assert above.min() > report.threshold
    if len(below):
        assert below.max() < report.threshold
        assert report.threshold == (above.min() + below.max()) / 2


@settings(deadline=None)
@given(tables(), targets, confidences)
def test_feasible_means_bound_reaches_target(table: Table, target: float, confidence: float) -> None:
    report = calibrate(table, target, confidence)
    assert report.feasible == (report.promise.bound >= target)
    assert report.feasible == any(step.passed for step in report.steps)
    assert report.promise.promised == (target if report.feasible else report.promise.bound)
    low, high = report.precision_interval
    assert 0 <= low <= report.precision_observed <= high <= 1
    assert report.promise.promised <= report.precision_observed
    assert all(step.level <= 1 - confidence + 1e-12 for step in report.steps)


@settings(deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(table: Table, random: object) -> None:
    y, scores = table
    order = np.arange(len(y))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert calibrate((y[order], scores[order])) == calibrate(table)


@settings(deadline=None)
@given(tables())
def test_only_the_order_of_the_scores_matters(table: Table) -> None:
    """Ranks, squared: strictly increasing, evenly spaced no more, and no two adjacent floats."""
    y, scores = table
    standing = np.unique(scores, return_inverse=True)[1] + 1.0
    spread = (standing / (standing.max() + 1)) ** 2
    ranked = calibrate((y, standing / (standing.max() + 1)))
    squared = calibrate((y, spread))
    assert np.array_equal(spread >= squared.threshold, standing / (standing.max() + 1) >= ranked.threshold)
    assert (ranked.feasible, ranked.promise.promised) == (squared.feasible, squared.promise.promised)


@settings(deadline=None)
@given(tables(), targets, confidences, st.integers(0, 2**32 - 1))
def test_walk_knows_the_labels_by_their_count_only(
    table: Table, target: float, confidence: float, seed: int
) -> None:
    """With other labels of the same count the cuts are the same, which the proof rests on."""
    y, scores = table
    other = np.random.default_rng(seed).permutation(y)
    reports = [calibrate((labels, scores), target, confidence) for labels in (y, other)]
    cuts, others = ({step.threshold for step in report.steps} for report in reports)
    # Of more than 200 cuts only 200 are reported, and the chosen one.
    thinned = max(len(cuts), len(others)) > 200
    assert cuts ^ others <= ({report.threshold for report in reports} if thinned else set())


@settings(deadline=None)
@given(tables(), targets)
def test_more_confidence_promises_no_more_when_no_start_passes(table: Table, target: float) -> None:
    """The same cut, held to a stricter bound."""
    lax, strict = (calibrate(table, target, confidence) for confidence in (0.9, 0.99))
    if lax.predicted_positive_rows == strict.predicted_positive_rows and not lax.feasible:
        assert strict.promise.promised <= lax.promise.promised
