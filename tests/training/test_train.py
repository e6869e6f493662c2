from __future__ import annotations

import os
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.contract.contract import Contract
from tabloop.data.split import split_dataset
from tabloop.errors import ConfigError, InfeasibleError, TooFewRowsError, TrainingError
from tabloop.progress import PoolState
from tabloop.training.train import TrainingResult, train_model
from tests.conftest import QUICK_CANDIDATES


def configured(project: Project, **training: Any) -> Config:
    settings = project.config.model_dump(mode="json")
    settings["training"] |= {"candidates": QUICK_CANDIDATES} | training
    settings["cv"] = {"n_splits": 3}
    return Config.model_validate(settings)


def trained(config: Config, contract: Contract, rows: pl.DataFrame, watch: Any = None) -> TrainingResult:
    split = split_dataset(rows, contract.target.name, test_size=0.2, seed=config.seed)
    return train_model(config, contract, split.train, split.test, groups=split.train_groups, watch=watch)


@pytest.fixture(scope="module")
def result(default_project: Project, contract: Contract, students: pl.DataFrame) -> TrainingResult:
    """Trained in two processes, as no other test here needs to be."""
    return trained(configured(default_project, workers=2), contract, students)


def test_every_candidate_is_ranked_and_kept(result: TrainingResult) -> None:
    assert {report.name for report in result.ranking} == set(QUICK_CANDIDATES) == set(result.pipelines)
    means = [report.mean("roc_auc") for report in result.ranking]
    assert means == sorted(means, reverse=True)
    assert all(len(report.folds) == 3 for report in result.ranking)


def test_the_pipeline_takes_raw_rows_of_either_kind(
    result: TrainingResult, contract: Contract, students: pl.DataFrame
) -> None:
    pandas = __import__("pandas").DataFrame(students.to_dict(as_series=False))
    for pipeline in result.pipelines.values():
        from_polars = pipeline.predict_proba(students)
        np.testing.assert_array_equal(from_polars, pipeline.predict_proba(pandas))
        one_by_one = [pipeline.predict_proba(students[i])[0, 1] for i in range(5)]
        np.testing.assert_allclose(from_polars[:5, 1], one_by_one, rtol=1e-12)


def test_the_pipeline_decides_at_its_threshold_and_names_its_columns(
    result: TrainingResult, contract: Contract, students: pl.DataFrame
) -> None:
    for name, pipeline in result.pipelines.items():
        expected = pipeline.predict_proba(students)[:, 1] >= result.candidate_thresholds[name]
        np.testing.assert_array_equal(pipeline.predict(students), expected.astype(int))
        assert pipeline.feature_names_in_.tolist() == list(contract.columns)
    proba = result.best_pipeline.predict_proba(students)[:, 1]
    assert ((proba >= 0.5) != (proba >= result.threshold.threshold)).any(), "or 0.5 would do as well"


def test_svm_probabilities_rank_as_its_decision_values(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    config = configured(default_project, candidates={"svm": {}})
    svm = trained(config, contract, students)
    assert svm.best.score_map is not None
    assert svm.best.scores is not None
    assert svm.best.scores.min() < 0
    order = np.argsort(svm.best.scores)
    assert (np.diff(svm.oof_proba[order]) >= 0).all()
    assert abs(svm.oof_proba.mean() - students["purchased"].mean()) < 0.02
    assert svm.evaluation.roc_auc > 0.8


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
def test_calibration_makes_probabilities_reliable(
    default_project: Project, contract: Contract, students: pl.DataFrame, calibration: str
) -> None:
    candidates = {"logistic_regression": {"class_weight": "balanced"}}
    raw = trained(configured(default_project, candidates=candidates), contract, students)
    config = configured(default_project, candidates=candidates, probability_calibration=calibration)
    calibrated = trained(config, contract, students)
    assert calibrated.evaluation.brier_score < raw.evaluation.brier_score
    assert calibrated.evaluation.expected_calibration_error < raw.evaluation.expected_calibration_error
    y_test = (
        split_dataset(students, "purchased", test_size=0.2, seed=config.seed).test["purchased"].to_numpy()
    )
    assert abs(roc_auc_score(y_test, calibrated.test_proba) - roc_auc_score(y_test, raw.test_proba)) < 0.02


def test_workers_and_row_order_change_no_bit(
    default_project: Project, contract: Contract, students: pl.DataFrame, result: TrainingResult
) -> None:
    again = trained(configured(default_project), contract, students.sample(fraction=1, shuffle=True, seed=1))
    assert again.oof_proba.tobytes() == result.oof_proba.tobytes()
    assert again.test_proba.tobytes() == result.test_proba.tobytes()
    assert again.threshold.threshold == result.threshold.threshold


def test_the_test_part_decides_nothing(
    default_project: Project, contract: Contract, students: pl.DataFrame, result: TrainingResult
) -> None:
    config = configured(default_project)
    split = split_dataset(students, "purchased", test_size=0.2, seed=config.seed)
    turned = split.test.with_columns(purchased=(1 - pl.col("purchased")).cast(pl.Int8))
    other = train_model(config, contract, split.train, turned, groups=split.train_groups)
    assert other.best.name == result.best.name
    assert other.threshold == result.threshold
    assert other.evaluation.roc_auc == pytest.approx(1 - result.evaluation.roc_auc)


def test_keeping_the_winner_alone_keeps_the_same_winner(
    default_project: Project, contract: Contract, students: pl.DataFrame, result: TrainingResult
) -> None:
    alone = trained(configured(default_project, keep="winner"), contract, students)
    assert list(alone.pipelines) == [result.best.name]
    assert alone.test_proba.tobytes() == result.test_proba.tobytes()


def test_progress_says_what_runs_and_what_is_left(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    states: list[PoolState] = []
    trained(configured(default_project, workers=2), contract, students, watch=states.append)
    assert states[-1].done == states[-1].total == 12
    assert [state.done for state in states] == sorted(state.done for state in states)
    assert "random_forest" in " ".join(states[0].running)  # the longest first
    assert all(len(state.running) <= 2 for state in states)


def test_without_semaphores_training_goes_on_in_one_process(
    default_project: Project,
    contract: Contract,
    students: pl.DataFrame,
    result: TrainingResult,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def no_pool(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tabloop.training.pool.ProcessPoolExecutor", no_pool)
    states: list[PoolState] = []
    alone = trained(configured(default_project, workers=2), contract, students, watch=states.append)
    assert alone.test_proba.tobytes() == result.test_proba.tobytes()
    assert "a writable /dev/shm" in caplog.text
    assert states[-1].done == states[-1].total == 12


FAILING = {"kind": "estimator", "import_path": "tests.training.failing_classifiers.Failing"}
DYING = {"kind": "estimator", "import_path": "tests.training.failing_classifiers.Dying"}

OVERSHOOTING = {"kind": "estimator", "import_path": "tests.training.failing_classifiers.Overshooting"}
LATE = {"kind": "estimator", "import_path": "tests.training.failing_classifiers.FailingOnAllRows"}


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    root = os.fspath(__import__("pathlib").Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", root)
    monkeypatch.syspath_prepend(root)


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (FAILING, "ValueError: this one always fails"),
        (DYING, "its process died"),
        (OVERSHOOTING, "probabilities from 2 to 2, expected 0 to 1"),
        (LATE, "on all rows: ValueError: too many rows"),
    ],
)
def test_a_candidate_that_fails_does_not_stop_the_others(
    default_project: Project,
    contract: Contract,
    students: pl.DataFrame,
    result: TrainingResult,
    broken: dict[str, Any],
    reason: str,
) -> None:
    config = configured(default_project, candidates={"broken": broken, **QUICK_CANDIDATES}, workers=2)
    found = trained(config, contract, students)
    assert found.ranking[-1].name == "broken"
    assert reason in str(found.ranking[-1].failure)
    assert "broken" not in found.pipelines
    assert found.test_proba.tobytes() == result.test_proba.tobytes()


@pytest.mark.usefixtures("importable")
def test_when_the_winner_fails_on_all_rows_the_next_one_wins(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    config = configured(default_project, candidates={"late": LATE, "decision_tree": {}}, keep="winner")
    found = trained(config, contract, students)
    assert (found.best.name, found.ranking[-1].name) == ("decision_tree", "late")
    assert str(found.ranking[-1].failure).startswith("on all rows")


@pytest.mark.usefixtures("importable")
def test_when_every_candidate_fails_all_reasons_are_told(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    config = configured(default_project, candidates={"broken": FAILING, "dying": DYING}, workers=2)
    with pytest.raises(
        TrainingError, match=r"(?s)broken: ValueError: this one always fails.*dying: its process died"
    ):
        trained(config, contract, students)


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        ({"kind": "estimator", "import_path": "sklearn.ensemble.ExtraTreeClassifier"}, "cannot be imported"),
        ({"kind": "estimator", "import_path": "sklearn.linear_model.LinearRegression"}, "no classifier"),
        ({"kind": "estimator", "import_path": "os.path.join"}, "is no class"),
        (
            {"kind": "estimator", "import_path": "sklearn.multiclass.OneVsRestClassifier"},
            "cannot be made with these parameters",
        ),
        (
            {
                "kind": "estimator",
                "import_path": "sklearn.ensemble.ExtraTreesClassifier",
                "parameters": {"n_estimator": 3},
            },
            "no parameter n_estimator, did you mean n_estimators?",
        ),
    ],
)
def test_a_wrong_import_path_is_an_error_before_the_first_fit(
    default_project: Project, contract: Contract, students: pl.DataFrame, candidate: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        trained(configured(default_project, candidates={"other": candidate}), contract, students)


def test_any_scikit_learn_classifier_can_compete(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    candidates = {
        "hist_gradient_boosting": {"max_iter": 20},
        "extra_trees": {
            "kind": "estimator",
            "import_path": "sklearn.ensemble.ExtraTreesClassifier",
            "parameters": {"n_estimators": 10},
        },
        "ridge": {"kind": "estimator", "import_path": "sklearn.linear_model.RidgeClassifier"},
    }
    found = trained(configured(default_project, candidates=candidates), contract, students)
    assert all(report.failure is None for report in found.ranking)
    assert {report.name for report in found.ranking if report.score_map is not None} == {"ridge"}
    assert found.evaluation.roc_auc > 0.85


GAUSSIAN = {"kind": "estimator", "import_path": "sklearn.naive_bayes.GaussianNB"}


def test_whether_a_candidate_has_a_graph_is_known_before_the_first_fit(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    split = split_dataset(students, "purchased", test_size=0.2, seed=42)
    config = configured(default_project, candidates={"gauss": GAUSSIAN, "decision_tree": {}})
    states: list[PoolState] = []
    asked: list[str] = []

    def none_for(name: str, pipeline: Any) -> str:
        asked.append(name)
        assert pipeline.predict_proba(students).shape == (students.height, 2)
        return "no such operator"

    with pytest.raises(ConfigError, match=r"(?s)gauss: no such operator.*report_only: true"):
        train_model(
            config,
            contract,
            split.train,
            split.test,
            groups=split.train_groups,
            why_no_graph=none_for,
            watch=states.append,
        )
    assert asked == ["gauss"]
    assert {label for state in states for label in state.running} == {"gauss (trial)"}


@pytest.mark.parametrize("keep", ["all", "winner"])
def test_a_winner_without_a_graph_gives_way_to_the_next_best(
    default_project: Project, contract: Contract, students: pl.DataFrame, keep: str
) -> None:
    candidates = {
        "depth_4": {"kind": "decision_tree", "max_depth": 4},
        "stump": {"kind": "decision_tree", "max_depth": 1},
    }
    config = configured(default_project, candidates=candidates, keep=keep)
    split = split_dataset(students, "purchased", test_size=0.2, seed=42)
    asked: list[str] = []

    def none_for_the_best(name: str, pipeline: Any) -> str | None:
        asked.append(name)
        assert pipeline[-1].estimator_.tree_.n_node_samples[0] == split.train.height
        return "it is too deep" if name == "depth_4" else None

    def train(check: Any) -> TrainingResult:
        return train_model(
            config, contract, split.train, split.test, groups=split.train_groups, why_no_graph=check
        )

    found = train(none_for_the_best)
    assert asked == ["depth_4", "stump"]
    assert (found.best.name, found.ranking[1].no_graph) == ("stump", "it is too deep")
    assert found.ranking[1].mean("roc_auc") > found.best.mean("roc_auc")
    np.testing.assert_array_equal(found.oof_proba, found.best.probabilities)
    with pytest.raises(TrainingError, match=r"stump: too big\n  depth_4: too big"):
        train(lambda name, pipeline: "too big")


def test_a_candidate_that_is_only_reported_is_never_chosen(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    best_of_all = {
        "kind": "estimator",
        "import_path": "sklearn.ensemble.HistGradientBoostingClassifier",
        "report_only": True,
    }
    config = configured(default_project, candidates={"best": best_of_all, "decision_tree": {"max_depth": 1}})
    found = trained(config, contract, students)
    first, second = found.ranking
    assert (first.name, second.name) == ("decision_tree", "best")
    assert second.mean("roc_auc") > first.mean("roc_auc")
    assert second.figures(None).report_only
    assert set(found.pipelines) == {"best", "decision_tree"}


def test_an_infeasible_promise_says_the_best_or_fails(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    few = students.head(400)
    config = configured(default_project)
    strict = config.model_copy(
        update={"business": config.business.model_copy(update={"target_precision": 0.999})}
    )
    best = trained(strict, contract, few)
    assert not best.threshold.feasible
    assert 0 < best.threshold.promise.promised < 0.999
    failing = strict.business.model_copy(update={"on_infeasible": "fail"})
    with pytest.raises(InfeasibleError, match=r"no threshold can promise a precision of 0\.999"):
        trained(strict.model_copy(update={"business": failing}), contract, few)


def test_too_few_positives_for_the_folds_is_an_error(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    positives, negatives = students.filter(purchased=1).head(3), students.filter(purchased=0).head(200)
    rows = pl.concat([positives, negatives])
    config = configured(default_project)
    with pytest.raises(TooFewRowsError):
        trained(
            config.model_copy(update={"cv": config.cv.model_copy(update={"n_splits": 10})}), contract, rows
        )


def test_outliers_are_clipped_by_what_the_training_rows_say(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    config = configured(default_project, candidates={"logistic_regression": {}})
    clipping = config.model_copy(
        update={"preprocessing": config.preprocessing.model_copy(update={"outlier_factor": 1.5})}
    )
    found = trained(clipping, contract, students)
    far, farther = (students.head(1).with_columns(minutes_watched=pl.lit(v)) for v in (1e5, 1e6))
    # the engineered features are clipped too, so nothing is left to tell the two apart
    assert found.best_pipeline.predict_proba(far)[0, 1] == found.best_pipeline.predict_proba(farther)[0, 1]
