"""A loaded model answers frames as the champion answers anybody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import tabloop as tl
from tabloop.errors import ArtifactMissingError, DataError
from tests.api.conftest import Made


def test_decisions_are_those_of_the_pipeline_under_the_same_index(made: Made) -> None:
    model = tl.load(made.folder)
    decisions = model.decide(made.frame)
    probability, label = decisions.columns
    assert list(decisions.index) == list(made.frame.index)
    assert (probability, label) == ("predicted_purchased_probability", "predicted_purchased")
    proba = model.predict_proba(made.frame)
    assert proba.shape == (len(made.frame), 2)
    assert (proba[:, 1] == decisions[probability]).all()
    pipeline = model.as_sklearn()
    assert np.abs(pipeline.predict_proba(made.frame) - proba).max() < 2e-6
    assert (pipeline.predict(made.frame) == decisions[label]).all()
    assert 0 < decisions[label].sum() < len(decisions)


def test_each_kind_of_frame_gets_the_same_answer_back_in_its_kind(made: Made, students: pl.DataFrame) -> None:
    model = tl.load(made.folder)
    answer = model.decide(students)
    assert isinstance(answer, pl.DataFrame)
    assert (
        answer["predicted_purchased"].to_list() == model.decide(made.frame)["predicted_purchased"].to_list()
    )
    assert model.decide(students.head(0)).height == 0


def test_contributions_add_up_to_the_answer_in_every_kind_of_frame(
    made: Made, students: pl.DataFrame
) -> None:
    model = tl.load(made.folder)
    explained = model.explain(made.frame.head(20))
    assert list(explained.index) == list(made.frame.index[:20])
    probability, base, *columns, error = explained.columns
    assert columns == list(model.contract.columns)
    assert (explained[probability] == model.decide(made.frame.head(20))[probability]).all()
    total = explained[base] + explained[columns].sum(axis=1)
    p = explained[probability]
    given = np.log(p / (1 - p)) if base == "base_log_odds" else p
    np.testing.assert_allclose(total, given, atol=1e-9)
    assert (explained[error] == 0).all()
    again = model.explain(students.head(20))
    assert isinstance(again, pl.DataFrame)
    np.testing.assert_array_equal(again[columns].to_numpy(), explained[columns].to_numpy())
    with pytest.raises(DataError, match="column days_on_platform: missing"):
        model.explain(students.drop("days_on_platform"))


def test_a_wrong_frame_is_told_all_that_is_wrong(made: Made) -> None:
    model = tl.load(made.folder)
    with pytest.raises(DataError) as refused:
        model.decide(made.frame.drop(columns=["days_on_platform", "courses_started"]))
    assert "column days_on_platform: missing" in str(refused.value)
    assert "column courses_started: missing" in str(refused.value)
    with pytest.raises(DataError) as refused:
        model.predict_proba(made.frame.assign(minutes_watched=float("inf"), courses_started=0.5))
    assert "minutes_watched" in str(refused.value)
    assert "courses_started" in str(refused.value)
    assert f"refuses 2,000 of {len(made.frame):,} rows" in str(refused.value)


def test_a_model_is_found_by_folder_by_name_and_by_path(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_id = tl.load(made.folder).run_id
    assert tl.load(made.folder, run_id[-4:]).run_id == run_id
    assert tl.load(made.folder / "runs" / run_id).run_id == run_id
    assert tl.load(made.folder / "champion").run_id == run_id
    monkeypatch.chdir(made.folder.parent)
    assert tl.load().run_id == tl.load(run_id).run_id == run_id
    with pytest.raises(ArtifactMissingError, match="no such run"):
        tl.load("20010101")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactMissingError, match="no champion yet"):
        tl.load()


def test_loading_and_deciding_need_no_scikit_learn(
    made: Made, students: pl.DataFrame, tmp_path: Path
) -> None:
    students.head(3).write_parquet(tmp_path / "rows.parquet")
    code = (
        "import sys, polars as pl, tabloop as tl\n"
        f"answer = tl.load({str(made.folder)!r}).decide(pl.read_parquet({str(tmp_path / 'rows.parquet')!r}))\n"
        "assert answer.height == 3\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"sklearn", "scipy", "joblib", "pandas", "matplotlib", "skl2onnx", "fastapi"} & set(loaded)
    assert "onnxruntime" in loaded


def test_the_pipeline_is_an_estimator_that_can_be_cloned_and_cross_validated(made: Made) -> None:
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError
    from sklearn.model_selection import cross_val_score
    from sklearn.utils.estimator_checks import (
        check_estimator_cloneable,
        check_estimator_repr,
        check_get_params_invariance,
    )

    pipeline = clone(tl.load(made.folder).as_sklearn())
    labels = made.frame["purchased"].to_numpy()
    scores = cross_val_score(pipeline, made.frame, labels, scoring="roc_auc", cv=3)
    assert scores.min() > 0.85
    with pytest.raises(NotFittedError):  # a clone is the recipe, not the champion
        pipeline.predict(made.frame)
    proba = pipeline.fit(made.frame, labels).predict_proba(made.frame)[:, 1]
    threshold = tl.load(made.folder).threshold  # it is part of the recipe
    assert (pipeline.predict(made.frame) == (proba >= threshold)).all()
    assert list(pipeline.classes_) == [0, 1]
    for step in pipeline.named_steps.values():
        for check in (check_estimator_cloneable, check_estimator_repr, check_get_params_invariance):
            check(type(step).__name__, clone(step))


def test_a_notebook_shows_it_escaped(made: Made) -> None:
    shown = tl.load(made.folder)._repr_html_()
    assert "student_country" in shown
    assert "<script" not in shown
    assert "#" not in shown  # no colour of its own: it is readable on dark pages too
