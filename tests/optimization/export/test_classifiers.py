"""Classifiers that are no candidates of their own, and models of unusual form."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from numpy.typing import NDArray
from tests.optimization.fitted_pipelines import (
    ESTIMATORS,
    estimator,
    fit_pipeline,
    midway_threshold,
    named,
    require_parity,
)

from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import typed_columns
from tabloop.errors import ExportError
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.optimization.export import sklearn_graft
from tabloop.optimization.export.graph import OnnxGraph
from tabloop.optimization.export.pipeline import export_pipeline, save_model
from tabloop.optimization.export.tree_models import tree_sum_of
from tabloop.optimization.export.tree_sum import Tree
from tabloop.optimization.export.trees import turn_to_likelier


@pytest.fixture(scope="module")
def target(students: pl.DataFrame) -> NDArray[Any]:
    return students["purchased"].to_numpy().astype(np.int8)


@pytest.mark.parametrize("path", ESTIMATORS)
def test_other_classifiers_agree(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any], path: str
) -> None:
    pipeline = fit_pipeline(contract, students[:1000], target[:1000], estimator(path))
    rows = students.drop("purchased")
    require_parity(pipeline, contract, rows, threshold=midway_threshold(pipeline.predict_proba(rows)[:, 1]))


def test_a_tree_without_a_split_is_a_constant(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any]
) -> None:
    stump = named("decision_tree") | {"min_samples_leaf": 400}
    pipeline = fit_pipeline(contract, students[:500], target[:500], stump)
    assert pipeline[-1].tree_.node_count == 1
    require_parity(pipeline, contract, students.drop("purchased"), most=0.0)
    few = fit_pipeline(
        contract, students[:500], target[:500], {"kind": "hist_gradient_boosting", "max_iter": 2}
    )
    few[-1]._predictors[0][0].nodes["is_leaf"][0] = 1
    few[-1]._predictors[0][0].nodes["value"][0] = 0.25
    require_parity(few, contract, students.drop("purchased"), most=1e-15)


def test_equal_leaves_are_stored_once(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any]
) -> None:
    pipeline = fit_pipeline(contract, students, target, named("random_forest"))
    model = export_pipeline(pipeline, contract)
    (ensemble,) = (node for node in model.graph.node if node.op_type == "TreeEnsemble")
    (weights,) = (a.t for a in ensemble.attribute if a.name == "leaf_weights")
    distinct = {
        float(v) for tree in pipeline[-1] for v in tree.tree_.value[tree.tree_.children_left < 0, 0, 1]
    }
    assert sorted(distinct) == onnx.numpy_helper.to_array(weights).tolist()


def test_a_conversion_that_answers_something_else_is_refused(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bayes = fit_pipeline(contract, students, target, estimator("naive_bayes.GaussianNB"))
    other = fit_pipeline(contract, students, 1 - target, estimator("naive_bayes.GaussianNB"))
    convert = sklearn_graft._converted
    monkeypatch.setattr(sklearn_graft, "_converted", lambda _, kind: convert(other[-1], kind))
    with pytest.raises(
        ExportError, match="GaussianNB: skl2onnx cannot convert it: ValueError: what it gives differs"
    ):
        export_pipeline(bayes, contract)


@pytest.mark.parametrize(
    "name", ["logistic_regression", "svm", "k_neighbors", "random_forest", "hist_gradient_boosting"]
)
def test_the_batch_a_row_is_in_does_not_matter(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any], name: str
) -> None:
    pipeline = fit_pipeline(contract, students[:700], target[:700], named(name))
    predictor = Predictor(save_model(export_pipeline(pipeline, contract)))
    rows = students.drop("purchased").head(400)
    together = predictor.predict(columns_of_frame(contract, rows))
    # a product with hundreds of support vectors is added up in an order that the number of rows decides
    atol = 1e-13 if name == "svm" else 0.0
    for n_rows in (1, 7, 37):
        parts = [predictor.predict(columns_of_frame(contract, part)) for part in rows.iter_slices(n_rows)]
        np.testing.assert_allclose(np.concatenate(parts), together, rtol=0.0, atol=atol)


_LR = {"import_path": "sklearn.linear_model.LogisticRegression"}
_TREE = {"import_path": "sklearn.tree.DecisionTreeClassifier", "parameters": {"max_depth": 4}}


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("model_selection.GridSearchCV", {"estimator": _LR, "param_grid": {"C": [0.1, 1.0]}, "cv": 3}),
        (
            "ensemble.VotingClassifier",
            {"estimators": [["a", _LR], ["b", _TREE]], "voting": "soft", "weights": [2, 1]},
        ),
        ("ensemble.StackingClassifier", {"estimators": [["a", _LR]], "final_estimator": _LR, "cv": 3}),
    ],
)
def test_nested_classifiers_agree(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any], path: str, parameters: dict[str, Any]
) -> None:
    candidate = {"kind": "estimator", "import_path": f"sklearn.{path}", "parameters": parameters}
    pipeline = fit_pipeline(contract, students[:1000], target[:1000], candidate)
    require_parity(pipeline, contract, students)


def test_a_converter_of_ones_own_is_used(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any]
) -> None:
    pipeline = fit_pipeline(contract, students, target, named("logistic_regression"))

    def constant(graph: OnnxGraph, x: str, classifier: Any) -> str:
        assert classifier is pipeline[-1]
        rows = graph.add("ReduceSum", graph.add("Mul", x, graph.constant(np.array([[0.0]]))),
                         graph.constant(np.array([1], dtype=np.int64)), keepdims=1)  # fmt: skip
        return graph.add("Add", rows, graph.constant(np.array([[0.25]])))

    model = export_pipeline(pipeline, contract, exporter=constant)
    rows = columns_of_frame(contract, typed_columns(contract, students.head(5)))
    assert Predictor(model.SerializeToString()).predict(rows).tolist() == [0.25] * 5


@pytest.mark.parametrize("single", [False, True])
def test_turned_comparisons_lead_every_row_to_the_leaf_where_it_was(single: bool) -> None:
    kind: Any = np.float32 if single else np.float64
    tiny, huge = np.finfo(kind).smallest_subnormal, np.finfo(kind).max
    splits = np.array([0.0, -0.0, tiny, -tiny, 1.5, -1.5, huge, -huge, np.inf, -np.inf], dtype=kind)
    with np.errstate(over="ignore"):
        near = [np.nextafter(splits, kind(to)) for to in (-np.inf, np.inf)]
    values = np.concatenate([splits, *near, [kind(np.nan)]])
    n_turned = 0
    for split, goes_left in itertools.product(splits.astype(np.float64), (False, True)):
        tree = Tree(
            np.array([0, -1, -1]), np.array([split, 0.0, 0.0]), np.array([1, -1, -1]), np.array([2, -1, -1]),
            np.array([0.0, 0.25, 0.75]), np.full(3, goes_left), rows=np.array([9, 8, 1]),
        )  # fmt: skip
        turned = turn_to_likelier(tree, 1, single=single)
        n_turned += turned is not tree
        both = np.stack([values, -values], axis=1)
        for row in both:
            ends = [
                each.left[0]
                if row[each.feature[0]] <= kind(each.threshold[0])
                or (np.isnan(row[0]) and each.missing_left is not None and each.missing_left[0])
                else each.right[0]
                for each in (tree, turned)
            ]
            assert ends[0] == ends[1], (split, row)
    assert n_turned == 12  # no number is below the least


def test_most_rows_take_the_false_side_and_the_sum_is_the_same(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any]
) -> None:
    pipeline = fit_pipeline(contract, students, target, named("random_forest") | {"n_estimators": 20})
    require_parity(pipeline, contract, students.drop("purchased"), most=0.0)
    model = tree_sum_of(pipeline[-1])
    assert model is not None
    taken = np.zeros(2)
    for tree in model.trees:
        turned = turn_to_likelier(tree, 1000, single=False)
        inner = turned.left >= 0
        assert turned.rows is not None
        taken += [turned.rows[side[inner]].sum() for side in (turned.left, turned.right)]
        # no column is nullable, so a missing value needs no node to say where it goes
        assert turned.missing_left is not None
        assert not turned.missing_left[inner].any()
    assert taken[1] > 4 * taken[0]
