"""A graph that answers anything else than the pipeline is found out, and the rows are named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from tests.optimization.fitted_pipelines import fit_pipeline, midway_threshold, named

from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.documents.graphs import ParityReport
from tabloop.contract.contract import Contract
from tabloop.errors import TooFewRowsError
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.optimization.export.pipeline import export_pipeline, save_model
from tabloop.optimization.parity.check import EXACT_TOLERANCE, check_parity

EXACT: dict[str, Any] = {"abs_tolerance": EXACT_TOLERANCE, "mean_tolerance": EXACT_TOLERANCE}
LOOSE: dict[str, Any] = {"abs_tolerance": 0.04, "mean_tolerance": 0.01}


@dataclass
class Planted:
    """Answers what it was given."""

    answers: Any

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        return np.asarray(self.answers, dtype=np.float64)

    def predict_proba(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        proba = np.asarray(self.answers, dtype=np.float64)
        return np.column_stack([1 - proba, proba])


@pytest.fixture(scope="module")
def forest(contract: Contract, students: pl.DataFrame) -> Pipeline:
    y = students["purchased"].to_numpy()
    return fit_pipeline(contract, students, y, named("random_forest"))


def check(
    contract: Contract,
    students: pl.DataFrame,
    trained: Any,
    answered: Any,
    threshold: float = 0.5,
    **limits: Any,
) -> ParityReport:
    rows = students.head(len(trained))
    return check_parity(
        Planted(trained), Planted(answered), contract, rows, threshold=threshold, **(LOOSE | limits)
    )


def test_the_exact_export_passes(contract: Contract, students: pl.DataFrame, forest: Pipeline) -> None:
    predictor = Predictor(save_model(export_pipeline(forest, contract)))
    threshold = midway_threshold(forest.predict_proba(students)[:, 1])
    report = check_parity(forest, predictor, contract, students, threshold=threshold, **EXACT)
    assert report.passed
    assert (report.samples, report.decision_flips, report.invalid_probabilities) == (students.height, 0, 0)
    assert report.max_abs_diff == 0.0
    assert report.worst_rows == report.excused_rows == ()
    assert report.abs_tol == report.mean_tol == 2e-6


def test_rows_that_are_off_by_a_tenth_are_named(
    contract: Contract, students: pl.DataFrame, forest: Pipeline
) -> None:
    predictor = Predictor(save_model(export_pipeline(forest, contract)))
    answers = predictor.predict(columns_of_frame(contract, students))
    bad = [3, 700, 1999]
    answers[bad] += np.where(answers[bad] > 0.5, -0.1, 0.1)
    report = check_parity(forest, Planted(answers), contract, students, threshold=0.99, **LOOSE)
    assert not report.passed
    assert report.max_abs_diff == pytest.approx(0.1)
    assert sorted(each.row for each in report.worst_rows) == bad
    for each in report.worst_rows:
        assert each.values == students.drop("purchased").row(each.row, named=True)
        assert each.trained_probability == forest.predict_proba(students[each.row])[0, 1]
        assert each.graph_probability == answers[each.row]
        assert not each.decision_flipped


@pytest.mark.parametrize(("off", "passes"), [(3e-6, False), (1e-6, True)])
def test_the_exact_export_is_held_to_its_own_tolerance(
    contract: Contract, students: pl.DataFrame, forest: Pipeline, off: float, passes: bool
) -> None:
    answers = forest.predict_proba(students)[:, 1]
    answers += np.where(answers > 0.5, -off, off)
    report = check_parity(forest, Planted(answers), contract, students, threshold=0.999, **EXACT)
    assert report.passed == passes


def test_one_flipped_decision_alone_fails(contract: Contract, students: pl.DataFrame) -> None:
    trained = [0.1, 0.5, 0.9, 0.2]
    answered = [0.1, 0.5 - 1e-12, 0.9, 0.23]
    report = check(contract, students, trained, answered)
    assert (report.passed, report.decision_flips) == (False, 1)
    assert [each.row for each in report.worst_rows] == [1, 3]
    assert report.worst_rows[0].decision_flipped
    assert check(contract, students, trained, answered, allow_flips=True).passed
    assert check(contract, students, trained, answered, threshold=0.4).passed


def test_the_mean_alone_fails(contract: Contract, students: pl.DataFrame) -> None:
    trained = np.full(10, 0.2)
    assert not check(contract, students, trained, trained + 0.011).passed
    assert check(contract, students, trained, trained + 0.009).passed


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -0.01, 1.01])
@pytest.mark.parametrize("side", ["graph", "pipeline", "both"])
def test_what_is_no_probability_always_fails(
    contract: Contract, students: pl.DataFrame, wrong: float, side: str
) -> None:
    good, bad = [0.2, 0.2, 0.2], [0.2, wrong, 0.2]
    report = check(
        contract, students, good if side == "graph" else bad, good if side == "pipeline" else bad,
        abs_tolerance=1.0, mean_tolerance=1.0, allow_flips=True,
    )  # fmt: skip
    assert not report.passed
    assert report.invalid_probabilities == 1
    assert report.max_abs_diff == 1.0
    assert report.worst_rows[0].row == 1
    json.dumps(json_values(report), allow_nan=False)


def test_too_few_rows_or_answers_are_errors(contract: Contract, students: pl.DataFrame) -> None:
    with pytest.raises(TooFewRowsError, match="no rows"):
        check(contract, students, [], [])
    with pytest.raises(ValueError, match="probabilities for 2 rows"):
        check(contract, students, [0.1, 0.2], [0.1])


def test_ties_of_neighbours_are_excused_and_nothing_else() -> None:
    contract = Contract.from_dict({"columns": {"x": {"type": "number"}}, "target": {"name": "y"}})
    rows = pl.DataFrame({"x": [0.0, 2.0, 10.0, 20.0, 30.0, 40.0]})
    knn = {"kind": "k_neighbors", "n_neighbors": 1}
    pipeline = fit_pipeline(contract, rows, np.array([0, 1, 0, 1, 0, 1]), knn)
    asked = pl.DataFrame({"x": [1.0, 11.0, 21.0, 31.0]})  # the first one is halfway
    answers = pipeline.predict_proba(asked)[:, 1]
    flipped = answers.copy()
    flipped[0] = 1 - flipped[0]
    report = check_parity(pipeline, Planted(flipped), contract, asked, threshold=0.5, **LOOSE)
    assert (report.passed, report.excused_ties, report.decision_flips) == (True, 1, 0)
    assert [each.row for each in report.excused_rows] == [0]
    assert report.excused_rows[0].values == {"x": 1.0}
    assert report.worst_rows == ()

    other = answers.copy()
    other[1] = 1 - other[1]  # not halfway
    report = check_parity(pipeline, Planted(other), contract, asked, threshold=0.5, **LOOSE)
    assert (report.passed, report.excused_ties, report.decision_flips) == (False, 0, 1)

    nan = answers.copy()
    nan[0] = np.nan  # a tie excuses an answer, not the lack of one
    assert not check_parity(pipeline, Planted(nan), contract, asked, threshold=0.5, **LOOSE).passed

    ties = pl.DataFrame({"x": [1.0, 15.0, 25.0, 11.0]})
    wrong = 1 - pipeline.predict_proba(ties)[:, 1]
    wrong[3] = 1 - wrong[3]
    report = check_parity(pipeline, Planted(wrong), contract, ties, threshold=0.5, **LOOSE)
    assert (report.passed, report.excused_ties) == (False, 3)  # most rows were not judged


def test_trees_have_no_ties(contract: Contract, students: pl.DataFrame, forest: Pipeline) -> None:
    answers = forest.predict_proba(students)[:, 1]
    answers[0] = 1 - answers[0]
    report = check_parity(forest, Planted(answers), contract, students, threshold=0.5, **LOOSE)
    assert (report.passed, report.excused_ties) == (False, 0)


def test_times_and_missing_numbers_become_json() -> None:
    contract = Contract.from_dict(
        {
            "columns": {
                "since": {"type": "timestamp"},
                "age": {"type": "number", "nullable": True},
                "plan": {"type": "text", "nullable": True},
            },
            "target": {"name": "bought"},
        }
    )
    since = datetime(2024, 2, 29, 12, tzinfo=UTC)
    rows = pl.DataFrame(
        {"since": [since], "age": [None], "plan": [None]},
        schema={"since": pl.Datetime("us", "UTC"), "age": pl.Float64, "plan": pl.String},
    )
    report = check_parity(Planted([0.1]), Planted([0.3]), contract, rows, threshold=0.5, **LOOSE)
    described = json.loads(json.dumps(json_values(report), allow_nan=False))
    assert described["worst_rows"] == [
        {
            "row": 0,
            "values": {"since": "2024-02-29T12:00:00+00:00", "age": None, "plan": None},
            "trained_probability": 0.1,
            "graph_probability": 0.3,
            "decision_flipped": False,
        }
    ]
