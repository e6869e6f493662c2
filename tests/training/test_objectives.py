import numpy as np
import pytest

from tabloop.artifacts.documents.document import document_bytes, parse_document
from tabloop.artifacts.documents.metrics import ThresholdReport
from tabloop.artifacts.documents.promise import Objective
from tabloop.config.business import BusinessConfig, CostsConfig
from tabloop.training.objectives import choose_threshold
from tabloop.training.threshold import calibrate_threshold

ALL = {"target_recall": 0.8, "capacity": 100.0, "costs": CostsConfig(hit=5.0, false_alarm=1.0, miss=0.5)}
OBJECTIVES: tuple[Objective, ...] = ("precision", "recall", "capacity", "costs")


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scores = rng.beta(1, 6, 8_000)
    return (rng.random(8_000) < np.minimum(1.0, 1.6 * scores)).astype(int), scores


def choose(table: tuple[np.ndarray, np.ndarray], objective: Objective) -> ThresholdReport:
    return choose_threshold(*table, BusinessConfig(choose=objective, target_precision=0.7, **ALL))


def test_default_is_the_promised_precision_as_it_ever_was(table: tuple[np.ndarray, np.ndarray]) -> None:
    report = choose_threshold(*table, BusinessConfig(target_precision=0.7))
    alone = calibrate_threshold(*table, target_precision=0.7, confidence=0.95)
    for name in ThresholdReport.__struct_fields__:
        if name not in ("promises", "path"):
            assert getattr(report, name) == getattr(alone, name)
    assert report.promise == alone.precision_promise == alone.promise


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objective_that_chooses_has_the_threshold_and_the_others_are_told(
    table: tuple[np.ndarray, np.ndarray], objective: Objective
) -> None:
    y, scores = table
    report = choose(table, objective)
    assert report.objective == report.promise.objective == objective
    assert report.threshold == report.promise.threshold
    assert report.feasible == report.promise.feasible
    assert {each.objective for each in report.promises} == set(OBJECTIVES)
    assert len({each.threshold for each in report.promises}) == 4
    decided = scores >= report.threshold
    assert report.predicted_positive_rows == decided.sum()
    assert report.true_positive_rows == y[decided].sum()
    assert report.recall == pytest.approx(y[decided].sum() / y.sum())
    assert (report.promised_precision is None) == (objective != "precision")
    # every promise is the same whichever chose
    assert sorted(report.promises, key=lambda each: each.objective) == sorted(
        choose(table, "precision").promises, key=lambda each: each.objective
    )


def test_path_holds_every_promise_and_its_counts_are_right(table: tuple[np.ndarray, np.ndarray]) -> None:
    y, scores = table
    report = choose(table, "costs")
    assert 100 <= len(report.path) <= 204
    assert {each.threshold for each in report.promises} <= {each.threshold for each in report.path}
    for each in report.path:
        decided = scores >= each.threshold
        assert (each.predicted_positive_rows, each.true_positive_rows) == (decided.sum(), y[decided].sum())
    assert report.path[-1].predicted_positive_rows == len(y)


def test_report_is_read_as_it_was_written(table: tuple[np.ndarray, np.ndarray]) -> None:
    report = choose(table, "costs")
    assert parse_document(document_bytes(report), ThresholdReport, "here") == report


def test_report_of_a_run_before_there_was_a_choice_has_its_promise(
    table: tuple[np.ndarray, np.ndarray],
) -> None:
    alone = calibrate_threshold(*table, target_precision=0.7, confidence=0.95)
    assert alone.promises == ()
    assert alone.promise.describe() == "a precision of 0.7 is promised"
    with pytest.raises(ValueError, match="the recall chose this threshold; it promises no precision"):
        _ = choose(table, "recall").precision_promise


@pytest.mark.parametrize(("choose", "name"), [("recall", "target_recall"), ("costs", "costs")])
def test_choosing_by_what_is_not_set_is_refused(choose: Objective, name: str) -> None:
    with pytest.raises(ValueError, match=f"got choose: {choose} without {name}"):
        BusinessConfig(choose=choose)
