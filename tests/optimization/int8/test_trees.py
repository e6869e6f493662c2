"""Split codes decide as the splits do where the cuts suffice, and err more the fewer there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from onnx import TensorProto
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from tests.optimization.fitted_pipelines import fit_pipeline, named

from tabloop.contract.contract import Contract
from tabloop.inference.predictor import Predictor
from tabloop.optimization.export.features import CodeColumn, FeatureTensors
from tabloop.optimization.export.graph import OnnxGraph
from tabloop.optimization.export.pipeline import save_model
from tabloop.optimization.export.tree_models import tree_sum_of
from tabloop.optimization.int8.trees import TreePlan, choose_cuts, quantized_tree_scores
from tabloop.training.catboost_classifier import CatBoostClassifier


def _fitted(contract: Contract, students: pl.DataFrame, name: str) -> Pipeline:
    rows = students.head(1500)
    return fit_pipeline(contract, rows, rows["purchased"].to_numpy(), named(name))


def _tree_proba(pipeline: Pipeline, x: Any, plan: TreePlan) -> Any:
    graph = OnnxGraph({f"x{i}": "double" for i in range(x.shape[1])})
    trees = tree_sum_of(pipeline[-1])
    assert trees is not None
    # boosters see the country as a code behind the numbers
    sees_codes = bool(trees.category_sets)
    n_numbers = x.shape[1] - sees_codes
    row = graph.add("Concat", *list(graph.inputs)[:n_numbers], axis=1)
    codes = tuple(
        CodeColumn(name, graph.add("Cast", name, to=TensorProto.INT64), int(x[:, -1].max()) + 1)
        for name in list(graph.inputs)[n_numbers:]
    )
    sources = tuple(frozenset({name}) for name in list(graph.inputs)[:n_numbers])
    features = FeatureTensors(row, sources, codes)
    session = Predictor(save_model(graph.model(quantized_tree_scores(graph, features, trees, plan), "p")))
    return session.predict({f"x{i}": x[:, i] for i in range(x.shape[1])})


@pytest.mark.parametrize("name", ["decision_tree", "hist_gradient_boosting"])
def test_few_enough_thresholds_become_codes_without_loss(
    contract: Contract, students: pl.DataFrame, name: str
) -> None:
    pipeline = _fitted(contract, students, name)
    trees = tree_sum_of(pipeline[-1])
    assert trees is not None
    cuts = choose_cuts(trees)
    assert max(len(each) for each in cuts.values()) < 255
    x = np.asarray(pipeline[:-1].transform(students[1500:]), dtype=np.float64)
    # on the cuts themselves, and one step to each side
    for feature, found in cuts.items():
        on_cut = x[: len(found)].copy()
        kept = found[: len(on_cut)]
        kept = kept.astype(np.float32).astype(np.float64) if trees.rounds_to_float32 else kept
        for value in (kept, np.nextafter(kept, -np.inf), np.nextafter(kept, np.inf)):
            on_cut[:, feature] = value
            expected = pipeline[-1].predict_proba(on_cut)[:, 1]
            got = _tree_proba(pipeline, on_cut, TreePlan(splits=True, leaves=False))
            assert np.abs(got - expected).max() < 1e-6


def test_too_many_thresholds_become_255_codes(contract: Contract, students: pl.DataFrame) -> None:
    pipeline = _fitted(contract, students, "random_forest")
    trees = tree_sum_of(pipeline[-1])
    assert trees is not None
    x = np.asarray(pipeline[:-1].transform(students[1500:]), dtype=np.float64)
    expected = pipeline.predict_proba(students[1500:])[:, 1]
    errors = {}
    for most in (255, 40, 5, 1):
        assert max(len(each) for each in choose_cuts(trees, max_cuts=most).values()) <= most
        got = _tree_proba(pipeline, x, TreePlan(splits=True, leaves=False, max_cuts=most))
        errors[most] = float(np.abs(got - expected).mean())
    assert 0 < errors[255] < errors[40] < errors[5] < errors[1]
    assert errors[255] < 0.01
    leaves = _tree_proba(pipeline, x, TreePlan(splits=False, leaves=True))
    assert 0 < np.abs(leaves - expected).max() <= 1 / 510 + 1e-12  # half a level, on average of trees


def test_the_least_float32_as_a_threshold_stands_for_what_is_missing() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(600, 2))
    x[rng.random(x.shape) < 0.3] = np.nan
    y = (np.isnan(x[:, 0]) ^ (rng.random(600) < 0.1)).astype(np.int64)
    classifier = CatBoostClassifier({}, n_estimators=5, early_stopping_rounds=None).fit(x, y)
    trees = tree_sum_of(classifier)
    assert trees is not None
    assert min(tree.threshold.min() for tree in trees.trees) == np.finfo(np.float32).min
    graph = OnnxGraph({"x0": "double", "x1": "double"})
    features = FeatureTensors(graph.add("Concat", "x0", "x1", axis=1), (frozenset({"x0"}), frozenset({"x1"})))
    output = quantized_tree_scores(graph, features, trees, TreePlan(splits=False, leaves=False))
    got = Predictor(save_model(graph.model(output, "p"))).predict({"x0": x[:, 0], "x1": x[:, 1]})
    assert np.abs(got - classifier.predict_proba(x)[:, 1]).max() < 1e-6


@pytest.mark.parametrize("plan", [TreePlan(splits=True, leaves=False), TreePlan(splits=False, leaves=False)])
def test_missing_values_go_where_each_split_sends_them(plan: TreePlan) -> None:
    rng = np.random.default_rng(6)
    x = rng.integers(0, 20, (900, 2)).astype(np.float64)
    x[rng.random(x.shape) < 0.3] = np.nan
    y = (np.isnan(x[:, 0]) ^ (x[:, 1] > 12) ^ (rng.random(900) < 0.1)).astype(np.int64)
    forest = RandomForestClassifier(12, min_samples_leaf=5, random_state=3).fit(x, y)
    trees = tree_sum_of(forest)
    assert trees is not None
    # a split of what is missing from all that is not has an infinite threshold
    assert max(tree.threshold.max() for tree in trees.trees) == np.inf
    assert any(
        tree.missing_left[tree.left >= 0].any() for tree in trees.trees if tree.missing_left is not None
    )
    graph = OnnxGraph({"x0": "double", "x1": "double"})
    features = FeatureTensors(graph.add("Concat", "x0", "x1", axis=1), (frozenset({"x0"}), frozenset({"x1"})))
    output = quantized_tree_scores(graph, features, trees, plan)
    asked = np.concatenate([x, [[1e300, -1e300], [np.nan, np.nan]]])
    got = Predictor(save_model(graph.model(output, "p"))).predict({"x0": asked[:, 0], "x1": asked[:, 1]})
    limit = float(np.finfo(np.float32).max)
    expected = forest.predict_proba(np.clip(asked, -limit, limit))[:, 1]
    assert np.abs(got - expected).max() < 1e-6
