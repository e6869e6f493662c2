"""By group and by time, from the config to the retraining: the figures are scikit-learn's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_score, recall_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tabloop.artifacts.documents.evaluation import Evaluation
from tabloop.artifacts.layout import EVALUATION
from tabloop.artifacts.store import RunStore
from tabloop.contract.row_hash import row_hashes
from tabloop.data.run_data import load_run_data
from tabloop.errors import DataError, TrainingError
from tabloop.lifecycle.describe import describe_run
from tabloop.lifecycle.learning_curve import learning_curve_run
from tabloop.lifecycle.run_all import run_all
from tabloop.retraining.data import build_retraining_data, load_judged_rows
from tabloop.retraining.marked_rows import require_marks_of_feedback
from tests.conftest import ROOT, QuietProgress, Workspace, make_workspace
from tests.retraining.retraining_kit import Live

NUMBERS = ["days_on_platform", "minutes_watched", "courses_started"]
NEIGHBOURS = {"kind": "estimator", "import_path": "sklearn.neighbors.KNeighborsClassifier"}
START = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """Students with a school, and hours on which they came, in no order."""
    read = pl.read_csv(ROOT / "data" / "ml_datasource.csv").head(1500).select(*NUMBERS, "purchased")
    rng = np.random.default_rng(8)
    schools = [f"s{number}" for number in rng.integers(0, 150, read.height)]
    hours = rng.permutation(read.height).tolist()
    return read.with_columns(
        school=pl.Series(schools), came=pl.Series([(START + timedelta(hours=h)).isoformat() for h in hours])
    )


def shop(folder: Path, rows: pl.DataFrame, split: dict[str, Any], columns: dict[str, Any]) -> Workspace:
    folder.mkdir(exist_ok=True)
    workspace = make_workspace(folder, rows)
    settings = workspace.settings()
    settings["contract"] = {
        "columns": {name: settings["contract"]["columns"][name] for name in NUMBERS} | columns,
        "rules": [],
        "features": {},
    }
    workspace.config_path.write_text(yaml.safe_dump(settings, sort_keys=False))
    workspace.change(
        data={"split": split, "ignore": [c for c in ("school", "came") if c not in columns]},
        training={"candidates": {"logistic_regression": {}}, "keep": "winner"},
        monitoring={"reference_rows": 300},
        release={"load_test_s": 0.1, "roc_auc_margin": 0.2, "brier_margin": 0.2},
        retraining={"fresh_margin": 0.3, "fresh_rows": 200},
    )
    return workspace


def scikit_learns(train: pl.DataFrame, test: pl.DataFrame, threshold: float) -> dict[str, float]:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    model.fit(train.select(NUMBERS).to_numpy(), train["purchased"].to_numpy())
    proba = model.predict_proba(test.select(NUMBERS).to_numpy())[:, 1]
    y = test["purchased"].to_numpy()
    return {
        "roc_auc": float(roc_auc_score(y, proba)),
        "precision": float(precision_score(y, proba >= threshold)),
        "recall": float(recall_score(y, proba >= threshold)),
    }


@pytest.fixture(scope="module")
def by_time(tmp_path_factory: pytest.TempPathFactory, rows: pl.DataFrame) -> Workspace:
    workspace = shop(
        tmp_path_factory.mktemp("time") / "p", rows, {"kind": "time", "column": "came"}, columns={}
    )
    _, decision = run_all(workspace.project(), QuietProgress())
    assert decision.promoted, decision
    return workspace


def test_by_time_the_figures_are_those_of_a_cut_in_scikit_learn(
    by_time: Workspace, rows: pl.DataFrame
) -> None:
    run = RunStore(by_time.model_dir).require_champion()
    metrics = run.metrics
    in_order = rows.sort("came")
    train, test = in_order[:1200], in_order[1200:]
    assert metrics.test_rows == 300
    assert metrics.split is not None
    assert metrics.split.test_from is not None
    assert datetime.fromisoformat(metrics.split.test_from) == datetime.fromisoformat(test["came"][0])
    for name, value in scikit_learns(train, test, metrics.calibration.threshold).items():
        assert getattr(metrics, name) == pytest.approx(value, abs=1e-9), name
    # folds: 300 rows, then three times another 300
    for fold in metrics.cv_ranking[0].folds:
        stop = 300 * (fold.fold + 1)
        found = scikit_learns(in_order[:stop], in_order[stop : stop + 300], 0.5)
        assert fold.roc_auc == pytest.approx(found["roc_auc"], abs=1e-9)
    assert metrics.split.never_scored_rows == 300
    assert metrics.calibration.n_rows == 900
    card = run.read("model_card.md").decode()
    assert "what links them to the target changes no more than so far" in card
    assert "folds that go forward in time" in card


def test_by_time_the_learning_curve_judges_every_size_on_the_rows_of_all_folds(
    by_time: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = by_time.project()
    run = RunStore(by_time.model_dir).require_champion()
    data = load_run_data(project, run)
    curve = learning_curve_run(run, data, QuietProgress(), here=project.config.training)
    # a quarter of the first fold would be 75 rows: too few, though the later folds have more
    assert [point.rows for point in curve.points] == [300, 600]
    assert curve.points[-1].roc_auc == pytest.approx(run.metrics.cv_ranking[0].roc_auc, abs=0.05)
    monkeypatch.setattr("tabloop.training.learning_curve._LEAST_ROWS", 200)
    with pytest.raises(TrainingError, match=r"1,200 training rows are too few .* at least 1,600"):
        learning_curve_run(run, data, QuietProgress(), here=project.config.training)


def test_by_time_a_run_comes_out_again(by_time: Workspace) -> None:
    again = by_time.run("reproduce", "--retrain")
    assert again.code == 0, again.err


def test_by_time_a_calibrated_run_goes_live_and_comes_out_again_whatever_the_file_says_of_splits(
    by_time: Workspace, tmp_path: Path
) -> None:
    workspace = by_time.copy(tmp_path / "copy")
    workspace.change(data={"split": {"kind": "hash"}})
    champion = RunStore(workspace.model_dir).champion_name()
    made = workspace.run("calibrate", "--set", "business.target_precision=0.6")
    assert made.code == 0, made.out + made.err
    assert RunStore(workspace.model_dir).champion_name() != champion
    again = workspace.run("reproduce", "--retrain")
    assert again.code == 0, again.err


def test_by_time_a_challenger_is_judged_on_the_latest_rows(
    by_time: Workspace, tmp_path: Path, rows: pl.DataFrame
) -> None:
    live = Live(by_time.copy(tmp_path / "copy"))
    live.serve_and_tell(rows.head(600))
    data = build_retraining_data(live.project(), live.champion(), now=datetime.now(UTC) + timedelta(days=1))
    table = load_judged_rows(live.model_dir, live.project(), data.dataset.sha256)
    frozen = load_judged_rows(live.model_dir, live.project(), data.record.frozen_test.sha256)
    assert table.beside is not None
    assert frozen.beside is not None
    assert table.frame.height == 1500 + 400
    times = table.beside["came"].sort()
    assert frozen.beside["came"].min() == times[-frozen.frame.height]  # the latest of all
    # 400 outcomes were learned, with the moments of their predictions
    assert int((table.beside["came"] > START + timedelta(days=300)).sum()) == 400
    ended = live.workspace.run("retrain")
    assert ended.code in (0, 1), ended.err
    challenger = RunStore(live.model_dir).runs()[-1]
    assert challenger.metrics.split is not None
    assert challenger.metrics.split.kind == "time"
    assert {gate.name for gate in challenger.gates.gates} >= {"frozen_test", "fresh_rows"}


@pytest.fixture(scope="module")
def by_group(tmp_path_factory: pytest.TempPathFactory, rows: pl.DataFrame) -> Workspace:
    workspace = shop(
        tmp_path_factory.mktemp("group") / "p",
        rows,
        {"kind": "group", "column": "school"},
        columns={"school": {"type": "text", "nullable": True}},
    )
    _, decision = run_all(workspace.project(), QuietProgress())
    assert decision.promoted, decision
    return workspace


def test_by_group_the_figures_are_those_of_scikit_learn_on_the_same_groups(
    by_group: Workspace, rows: pl.DataFrame
) -> None:
    run = RunStore(by_group.model_dir).require_champion()
    metrics = run.metrics
    setting = run.lineage.split
    assert setting is not None
    assert setting.cut is not None
    hashes = row_hashes(rows.select(group="school"), seed=42)
    in_test = hashes < np.uint64(setting.cut * 2.0**64)
    train, test = rows.filter(pl.Series(~in_test)), rows.filter(pl.Series(in_test))
    assert not set(train["school"]) & set(test["school"])
    assert metrics.test_rows == test.height
    for name, value in scikit_learns(train, test, metrics.calibration.threshold).items():
        assert getattr(metrics, name) == pytest.approx(value, abs=1e-9), name
    assert metrics.calibration.bound == "korn_graubard"
    groups = metrics.calibration.predicted_positive_groups
    assert groups is not None
    assert 0 < groups <= metrics.calibration.predicted_positive_rows
    assert metrics.split is not None
    assert metrics.split.training_groups == train["school"].n_unique()
    assert by_group.run("reproduce", "--retrain").code == 0


def test_by_group_the_learning_curve_holds_out_groups(by_group: Workspace) -> None:
    project = by_group.project()
    run = RunStore(by_group.model_dir).require_champion()
    curve = learning_curve_run(
        run, load_run_data(project, run), QuietProgress(), here=project.config.training
    )
    assert curve.points[-1].roc_auc == pytest.approx(run.metrics.cv_ranking[0].roc_auc, abs=0.05)


def test_by_group_nothing_is_judged_on_a_group_that_was_learned_from(
    by_group: Workspace, tmp_path: Path, rows: pl.DataFrame
) -> None:
    live = Live(by_group.copy(tmp_path / "copy"))
    more = rows.head(900).with_columns(
        school=pl.when(pl.int_range(pl.len()) % 2 == 0)
        .then("school")
        .otherwise(pl.lit("n") + pl.col("school"))
    )
    live.serve_and_tell(more.select(*NUMBERS, "school", "purchased"))
    project = live.project("retraining.fresh_rows=500")
    data = build_retraining_data(project, live.champion(), now=datetime.now(UTC) + timedelta(days=1))
    trained = set(load_run_data(project, live.champion()).split.train["school"])
    for table in (data.record.fresh, data.record.frozen_test):
        judged = load_judged_rows(live.model_dir, project, table.sha256)
        assert judged.frame.height >= 20
        assert not set(judged.frame["school"]) & trained


def test_a_group_that_the_log_does_not_tell_stops_a_retraining(tmp_path: Path, rows: pl.DataFrame) -> None:
    workspace = shop(tmp_path / "p", rows, {"kind": "group", "column": "school"}, columns={})
    with pytest.raises(DataError, match="nullable: true"):
        require_marks_of_feedback(workspace.project())


def test_weights_count_in_fitting_and_in_the_figures(tmp_path: Path, rows: pl.DataFrame) -> None:
    rng = np.random.default_rng(4)
    weighted = rows.head(900).with_columns(persons=pl.Series(rng.integers(0, 5, 900)))
    workspace = shop(tmp_path / "p", weighted, {"kind": "time", "column": "came"}, columns={})
    workspace.change(
        data={"weight": "persons"},
        training={"candidates": {"logistic_regression": {}, "neighbours": NEIGHBOURS, "decision_tree": {}}},
    )
    trained = workspace.run("train")
    assert trained.code == 0, trained.err
    run = RunStore(workspace.model_dir).runs()[-1]
    metrics = run.metrics
    failed = {each.name: each.failure for each in metrics.cv_ranking if each.failure}
    assert set(failed) == {"neighbours"}
    assert "takes no row weights" in str(failed)
    in_order = weighted.sort("came")
    train, test = in_order[: -metrics.test_rows], in_order[-metrics.test_rows :]
    w, w_test = (part["persons"].to_numpy().astype(np.float64) for part in (train, test))
    data = load_run_data(workspace.project(), run)
    assert data.split.train_marks.weights is not None
    assert data.split.train_marks.weights.sum() == w.sum()
    scaler = StandardScaler().fit(train.select(NUMBERS).to_numpy())
    fitted = LogisticRegression(C=1.0, max_iter=2000).fit(
        scaler.transform(train.select(NUMBERS).to_numpy()),
        train["purchased"].to_numpy(),
        sample_weight=w / w.mean(),
    )
    assert metrics.weight_column == "persons"
    assert metrics.calibration.bound == "korn_graubard"
    assert metrics.calibration.effective_rows is not None
    assert metrics.calibration.effective_rows < metrics.calibration.predicted_positive_rows
    figures = next(each for each in metrics.cv_ranking if each.name == "logistic_regression")
    if metrics.best_model_name == "logistic_regression":
        proba = fitted.predict_proba(scaler.transform(test.select(NUMBERS).to_numpy()))[:, 1]
        y = test["purchased"].to_numpy()
        assert metrics.roc_auc == pytest.approx(roc_auc_score(y, proba, sample_weight=w_test), abs=1e-9)
        decided = proba >= metrics.calibration.threshold
        assert metrics.precision == pytest.approx(precision_score(y, decided, sample_weight=w_test))
        assert metrics.recall == pytest.approx(recall_score(y, decided, sample_weight=w_test))
    assert metrics.best_model_name == "logistic_regression", figures
    exported = workspace.run("export")
    assert exported.code == 0, exported.err
    run = RunStore(workspace.model_dir).get(run.run_id)
    describe_run(run, data)
    evaluation = run.read_as(Evaluation, EVALUATION)
    assert evaluation.weight_column == "persons"
    table = evaluation.confusion
    hit, alarm = table.true_positive.per_1000, table.false_positive.per_1000
    assert hit / (hit + alarm) == pytest.approx(metrics.precision)
    assert hit / (hit + table.false_negative.per_1000) == pytest.approx(metrics.recall)
    assert evaluation.positive_share == pytest.approx(float(np.average(test["purchased"], weights=w_test)))
    for name in ("average_precision", "f1", "brier_score", "expected_calibration_error"):
        figure = evaluation.figures[name]
        assert figure.value == pytest.approx(getattr(metrics, name), abs=1e-6), name
        assert figure.interval[0] <= figure.value <= figure.interval[1]


@pytest.mark.parametrize(
    ("weights", "code", "words"),
    [
        ([0.0], 2, "every weight is zero"),
        ([1.0, -1.0], 2, "persons: range"),
        ([1.0, None], 2, "persons: null"),
    ],
)
def test_weights_that_mean_nothing_are_refused(
    tmp_path: Path, rows: pl.DataFrame, weights: list[float | None], code: int, words: str
) -> None:
    marked = rows.head(300).with_columns(persons=pl.Series((weights * 300)[:300], dtype=pl.Float64))
    workspace = shop(tmp_path / "p", marked, {"kind": "hash"}, columns={})
    workspace.change(data={"weight": "persons"})
    ended = workspace.run("train")
    assert ended.code == code
    assert words in ended.err
