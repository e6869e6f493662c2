import json

import numpy as np
import pytest
import scipy.special
from scipy.stats import beta, binom

from tabloop.artifacts.documents.document import document_bytes
from tabloop.artifacts.documents.metrics import ThresholdReport
from tabloop.errors import TooFewRowsError
from tabloop.statistics.row_marks import RowMarks
from tabloop.training.threshold import calibrate_threshold


def calibrate(y: object, scores: object, target: float = 0.9, confidence: float = 0.95) -> ThresholdReport:
    return calibrate_threshold(
        np.asarray(y), np.asarray(scores), target_precision=target, confidence=confidence
    )


def student_like(n_rows: int, seed: int, ceiling: float = 0.96) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and the true chance of each row; scores are not calibrated."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n_rows)
    chance = np.minimum(1 / (1 + np.exp(4 - 4 * z)), ceiling)
    return (rng.random(n_rows) < chance).astype(int), 1 / (1 + np.exp(-z)), chance


def test_report_counts_what_the_threshold_decides() -> None:
    y, scores, _ = student_like(12_000, seed=1)
    report = calibrate(y, scores)
    decided = scores >= report.threshold
    assert report.feasible
    assert report.promise.promised == 0.9
    assert report.n_rows == 12_000
    assert report.positive_rows == y.sum()
    assert report.predicted_positive_rows == decided.sum()
    assert report.true_positive_rows == y[decided].sum()
    assert report.precision_observed == pytest.approx(y[decided].mean(), abs=1e-15)
    assert report.recall == pytest.approx(y[decided].sum() / y.sum(), abs=1e-15)


def test_bounds_are_clopper_pearsons() -> None:
    y, scores, _ = student_like(12_000, seed=1)
    report = calibrate(y, scores)
    hits, rows = report.true_positive_rows, report.predicted_positive_rows
    low, high = report.precision_interval
    assert low == pytest.approx(beta.ppf(0.025, hits, rows - hits + 1), abs=1e-12)
    assert high == pytest.approx(beta.ppf(0.975, hits + 1, rows - hits), abs=1e-12)
    level = next(step.level for step in report.steps if step.rows == rows)
    assert report.promise.bound == pytest.approx(beta.ppf(level, hits, rows - hits + 1), abs=1e-12)
    assert report.promise.bound >= 0.9


def test_promise_holds_as_often_as_it_says_and_the_naive_choice_does_not() -> None:
    """The hardest world: no cut is good enough, and hundreds of them miss it by a hair."""
    replications = 1_000
    broken = naively_broken = 0
    rng = np.random.default_rng(0)
    scores = np.linspace(1, 0, 2_000)
    chance = np.where(np.arange(2_000) < 1_000, 0.8999, 0.001)
    for _ in range(replications):
        y = (rng.random(2_000) < chance).astype(int)
        broken += calibrate(y, scores).feasible
        naively_broken += bool((np.cumsum(y) / np.arange(1, 2_001) >= 0.9)[60:].any())
    # 5% are allowed; more than this would be chance once in 1,000 times.
    assert broken <= binom.ppf(0.999, replications, 0.05)
    assert naively_broken > 0.5 * replications


def test_walk_ends_where_a_cut_fails() -> None:
    """Looking on for a later cut that passes would be picking the luckiest of many."""
    scores = np.linspace(1, 0, 10_000)
    y = (np.arange(10_000) < 1_000).astype(int)
    y[:360:8] = 0  # the start of the walk is too bad, all rows together are good enough
    report = calibrate(y, scores)
    assert y[:1_000].mean() > 0.95
    assert not report.feasible
    assert report.predicted_positive_rows < 360


def test_promise_of_an_infeasible_outcome_holds_as_often_as_it_says() -> None:
    replications = 500
    broken = infeasible = 0
    for seed in range(replications):
        y, scores, chance = student_like(2_000, seed, ceiling=0.8)
        report = calibrate(y, scores)
        infeasible += not report.feasible
        broken += chance[scores >= report.threshold].mean() < report.promise.promised
    assert infeasible > 0.9 * replications
    assert broken <= binom.ppf(0.9999, replications, 0.05)


def test_recall_is_near_what_a_single_test_would_give() -> None:
    """The walk must not cost much: the cut that one test alone would allow, chosen with hindsight."""
    ours, hindsight = [], []
    for seed in range(20):
        y, scores, _ = student_like(12_000, seed)
        ours.append(calibrate(y, scores).recall)
        hits = np.cumsum(y[np.argsort(-scores)])
        rows = np.arange(61, 3_000)
        passed = binom.sf(hits[rows - 1] - 1, rows, 0.9) <= 0.05
        hindsight.append(hits[rows[np.flatnonzero(passed)[-1]] - 1] / y.sum())
    assert np.mean(ours) > np.mean(hindsight) - 0.03


def test_unlucky_top_does_not_end_the_walk() -> None:
    """Ten misses among the highest scores kill a walk that begins there; the main start survives them."""
    scores = np.linspace(1, 0, 10_000)
    y = (np.arange(10_000) < 1_000).astype(int)
    y[:10] = 0
    report = calibrate(y, scores)
    assert report.feasible
    assert not report.steps[0].passed
    assert report.recall > 0.95


def test_budget_of_small_starts_promises_where_the_main_start_fails() -> None:
    """A large but hard problem: precise at the top only."""
    rng = np.random.default_rng(0)
    scores = np.linspace(1, 0, 300_000)
    y = (rng.random(300_000) < np.where(np.arange(300_000) < 2_000, 0.97, 0.1)).astype(int)
    report = calibrate(y, scores)
    assert report.feasible
    assert 1_700 < report.predicted_positive_rows < 2_300


def test_infeasible_reports_the_best_promise() -> None:
    y, scores, _ = student_like(12_000, seed=3, ceiling=0.7)
    report = calibrate(y, scores)
    assert not report.feasible
    assert report.promise.promised == report.promise.bound < 0.9
    assert 0.55 < report.promise.promised < 0.72
    assert report.predicted_positive_rows == (scores >= report.threshold).sum()
    assert not any(step.passed for step in report.steps)


def test_too_few_positives_for_any_promise_is_infeasible() -> None:
    """28 hits in 28 rows prove 0.898 only."""
    scores = np.linspace(1, 0, 200)
    assert not calibrate(np.arange(200) < 28, scores).feasible
    assert calibrate(np.arange(200) < 28, scores).promise.promised == pytest.approx(0.05 ** (1 / 28))
    assert calibrate(np.arange(200) < 29, scores).feasible


def test_two_rows_give_a_promise_not_an_error() -> None:
    report = calibrate([1, 0], [0.75, 0.25])
    assert not report.feasible
    assert report.threshold == 0.5
    assert report.promise.promised == pytest.approx(0.05)
    assert report.precision_interval[1] == 1.0


def test_worst_possible_scores_promise_nothing() -> None:
    report = calibrate([0, 0, 0, 1], [0.9, 0.8, 0.7, 0.1])
    assert not report.feasible
    assert report.promise.promised == 0.0
    assert report.precision_observed == 0.0


@pytest.mark.parametrize(("lowest", "threshold"), [(0.5, 0.25), (0.0, -0.5), (5e-324, 0.0), (1.0, 0.5)])
def test_threshold_for_all_rows_lies_below_the_lowest_score(lowest: float, threshold: float) -> None:
    y = np.ones(1_000, dtype=int)
    y[:10] = 0
    report = calibrate(y, np.full(1_000, lowest))
    assert report.feasible
    assert report.threshold == threshold
    assert report.predicted_positive_rows == 1_000


def test_cut_between_adjacent_floats_moves_to_the_gap_above() -> None:
    """Nothing lies between 0.5 and its successor, so both or neither are predicted positive."""
    scores = np.concatenate(
        [np.linspace(1, 0.6, 200), np.repeat([np.nextafter(0.5, 1), 0.5], 100), [0.1] * 600]
    )
    y = (np.arange(1_000) < 300).astype(int)
    report = calibrate(y, scores)
    assert report.threshold == (0.6 + np.nextafter(0.5, 1)) / 2
    assert report.predicted_positive_rows == 200


def test_float32_scores_are_compared_as_float64() -> None:
    y, scores, _ = student_like(12_000, seed=1)
    narrow = scores.astype(np.float32)
    report = calibrate(y, narrow)
    assert report.predicted_positive_rows == (narrow.astype(np.float64) >= report.threshold).sum()


@pytest.mark.parametrize("target", [0.01, 0.5, 0.99, 0.9999])
@pytest.mark.parametrize("confidence", [0.51, 0.999])
def test_extreme_targets_and_confidences_have_an_answer(target: float, confidence: float) -> None:
    y, scores, _ = student_like(3_000, seed=5)
    report = calibrate(y, scores, target, confidence)
    assert report.feasible == (report.promise.bound >= target)


def test_report_is_json_and_its_walk_can_be_drawn() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(200_000)
    report = calibrate(rng.random(200_000) < scores**0.3, scores)
    written = json.loads(document_bytes(report))
    assert written["type"] == "fixed_sequence"
    assert written["threshold"] == report.threshold
    assert len(written["steps"]) <= 201
    rows = [step["rows"] for step in written["steps"]]
    assert rows == sorted(set(rows))
    assert report.predicted_positive_rows in rows
    assert all((step["lower_bound"] is None) == (step["level"] == 0) for step in written["steps"])
    assert all(step["passed"] == ((step["lower_bound"] or 0) >= 0.9) for step in written["steps"])


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_too_few(label: int) -> None:
    with pytest.raises(TooFewRowsError, match=f"all 3 rows have label {label}; .* needs both classes"):
        calibrate([label] * 3, [0.1, 0.2, 0.3])


def test_no_rows_is_too_few() -> None:
    with pytest.raises(TooFewRowsError, match="no rows"):
        calibrate([], [])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 1.5])
def test_score_outside_zero_to_one_is_refused_by_row(bad: float) -> None:
    with pytest.raises(ValueError, match=r"y_proba: got .* in row 1, expected a number in \[0, 1\]"):
        calibrate([0, 1, 1], [0.5, bad, 0.5])


@pytest.mark.parametrize("labels", [[0, 2], [0.5, 1], ["0", "1"], [np.nan, 1]])
def test_label_other_than_zero_and_one_is_refused(labels: list[object]) -> None:
    with pytest.raises(ValueError, match="y_true: expected 0 and 1 only"):
        calibrate(labels, [0.1, 0.2])


@pytest.mark.parametrize(("y", "scores"), [([0, 1], [0.1]), ([[0, 1]], [[0.1, 0.2]])])
def test_shapes_must_agree(y: list[object], scores: list[object]) -> None:
    with pytest.raises(ValueError, match="expected two vectors of one length"):
        calibrate(y, scores)


@pytest.mark.parametrize(
    ("target", "confidence"), [(0.0, 0.9), (1.0, 0.9), (0.9, 0.5), (0.9, 1.0), (np.nan, 0.9)]
)
def test_target_and_confidence_have_ranges(target: float, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"target_precision: got|confidence: got"):
        calibrate([0, 1], [0.1, 0.2], target, confidence)


def test_of_equal_recalls_the_strictest_is_taken() -> None:
    """Below the last positive the walk may pass many more cuts, each with more errors and no more hits."""
    y = np.array([1] * 300 + [0] * 700)
    scores = np.linspace(1.0, 0.0, 1_000)
    report = calibrate(y, scores)
    assert report.recall == 1.0
    assert report.precision_observed >= 0.99
    looser = [step for step in report.steps if step.passed and step.threshold < report.threshold]
    assert looser, "the walk went on below"


@pytest.mark.parametrize("seed", range(5))
def test_no_passed_cut_of_fewer_rows_has_the_recall_of_the_chosen_one(seed: int) -> None:
    y, scores, _ = student_like(3_000, seed=seed, ceiling=1.0)
    report = calibrate(y, scores, target=0.8)
    passed = [step for step in report.steps if step.passed]
    best = max(step.recall for step in passed)
    assert report.recall == best
    assert report.predicted_positive_rows == min(step.rows for step in passed if step.recall == best)


@pytest.mark.parametrize("alike", [0.0, 0.6, 1.0])
def test_a_promise_on_grouped_rows_holds_on_fresh_groups(alike: float) -> None:
    """Groups share a shock in the log-odds; the truth of a cut is known by integrating over it."""
    rng = np.random.default_rng(11)
    shocks = rng.normal(0, 4 * alike, 20_000)
    grid = np.linspace(-4, 6, 400)
    truth_at = np.array([scipy.special.expit(x + shocks).mean() for x in grid])
    kept = feasible = naive = 0
    n_trials = 120
    for _ in range(n_trials):
        group = np.repeat(np.arange(150, dtype=np.uint64), rng.integers(1, 30, 150))
        x = rng.uniform(-4, 6, len(group))
        y = rng.random(len(group)) < scipy.special.expit(x + rng.normal(0, 4 * alike, 150)[group])
        score = (x + 5) / 12
        found = calibrate_threshold(
            y, score, target_precision=0.8, confidence=0.95, marks=RowMarks(groups=group)
        )
        plain = calibrate_threshold(y, score, target_precision=0.8, confidence=0.95)
        assert found.bound == "korn_graubard"
        above = grid >= found.threshold * 12 - 5
        kept += truth_at[above].mean() >= found.promised_precision
        naive += truth_at[grid >= plain.threshold * 12 - 5].mean() >= plain.promised_precision
        feasible += found.feasible
    assert kept >= 0.93 * n_trials, kept / n_trials
    if alike == 1.0:
        assert naive < 0.9 * n_trials  # what the bound for independent rows is worth here
    if alike == 0.0:
        assert feasible == n_trials
