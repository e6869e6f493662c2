from __future__ import annotations

import json

import pytest

from tabloop.artifacts.documents.learning_curve import LearningPoint
from tabloop.training.learning_curve import _sentence, _verdict
from tests.conftest import Workspace


def test_the_command_says_whether_more_rows_would_help(trained_copy: Workspace) -> None:
    told = trained_copy.run("learning-curve", "--candidate", "logistic_regression", "--json")
    assert told.code == 0, told.err
    curve = json.loads(told.out)
    assert curve["candidate"] == "logistic_regression"
    rows = [point["rows"] for point in curve["points"]]
    assert rows == sorted(rows)
    assert rows[-1] == pytest.approx(2 * rows[-2], rel=0.01)
    for point in curve["points"]:
        low, high = point["interval"]
        assert low < point["roc_auc"] < high
    assert curve["points"][0]["roc_auc"] < curve["points"][-1]["roc_auc"] + 0.02
    assert curve["gain"] == pytest.approx(curve["points"][-1]["roc_auc"] - curve["points"][-2]["roc_auc"])
    assert curve["sentence"].startswith(("More rows would", "Whether more rows would"))
    picture = trained_copy.folder / curve["path"]
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.with_suffix(".json").exists()
    wrong = trained_copy.run("learning-curve", "--candidate", "logistic")
    assert wrong.code == 2
    assert "known: logistic_regression, svm, random_forest" in wrong.err


@pytest.mark.soak
def test_a_cluster_measures_the_same_curve(trained_copy: Workspace) -> None:
    curves = []
    for engine in ("local", "ray"):
        told = trained_copy.run_process(
            "learning-curve", "--candidate", "random_forest", "--engine", engine, "--json"
        )
        assert told.code == 0, told.err
        curves.append(json.loads(told.out))
    assert curves[0] == curves[1]


@pytest.mark.parametrize(
    ("interval", "verdict", "said"),
    [
        ((0.003, 0.009), "would_help", "More rows would help: from 500 to 1,000 rows the ROC-AUC rose"),
        ((-0.002, 0.0015), "would_not_help", "More rows would not help: from 500 to 1,000"),
        ((0.0005, 0.0015), "would_not_help", "More rows would not help"),
        ((-0.004, 0.009), "cannot_tell", "Whether more rows would help cannot be told"),
    ],
)
def test_the_verdict_follows_the_interval_of_the_last_doubling(
    interval: tuple[float, float], verdict: str, said: str
) -> None:
    points = tuple(LearningPoint(rows=n, roc_auc=0.9, interval=(0.8, 0.95)) for n in (500, 1_000))
    found = _verdict(interval)
    assert found == verdict
    assert _sentence(found, points, sum(interval) / 2, interval).startswith(said)
