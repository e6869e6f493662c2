"""Graphs of random small boosters equal the libraries: nulls, sets of categories, extremes, every option.

About `lightgbm_trees.py`, `xgboost_trees.py`, `catboost_trees.py`, `histogram_trees.py` and `trees.py`.
"""

from __future__ import annotations

from typing import Any

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from tabloop.errors import ExportError
from tabloop.inference.predictor import Predictor
from tabloop.optimization.export.classifiers import classifier_to_onnx
from tabloop.optimization.export.features import CodeColumn, FeatureTensors
from tabloop.optimization.export.graph import OnnxGraph
from tabloop.optimization.export.pipeline import save_model
from tabloop.optimization.export.tree_models import tree_sum_of
from tabloop.training.catboost_classifier import CatBoostClassifier
from tabloop.training.lightgbm_classifier import LightGBMClassifier
from tabloop.training.xgboost_classifier import XGBoostClassifier

N_NUMBERS = 3
SIZES = (4, 40)
PLACES = (3, 4)
ZERO = float(np.float32(1e-35))
QUIET: dict[str, Any] = {"logging_level": "Silent", "allow_writing_files": False, "thread_count": 1}


def draw_table(seed: int, n_rows: int = 400) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Numbers with NaN, zeros and huge values, and two columns of codes whose last one is never seen."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n_rows, N_NUMBERS)) * 10.0 ** rng.integers(-3, 4, N_NUMBERS)
    numbers[:, 1] = np.round(numbers[:, 1])
    numbers[rng.random(numbers.shape) < 0.15] = np.nan
    numbers[rng.random(numbers.shape) < 0.1] = 0.0
    codes = np.column_stack([rng.integers(0, size - 1, n_rows) for size in SIZES])
    effects = rng.normal(size=max(SIZES))
    score = np.nan_to_num(numbers[:, 0], nan=1.0) + np.isnan(numbers[:, 2]) + 2 * effects[codes].sum(axis=1)
    y = (score + rng.normal(size=n_rows) > np.median(score)).astype(np.int64)
    return np.column_stack([numbers, codes]), y


def probes(classifier: Any, X: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Rows on the splits and a step beside them, with extremes, nulls, zeros, and every code."""
    rng = np.random.default_rng(seed)
    model = tree_sum_of(classifier)
    assert model is not None
    levels: list[list[float]] = [
        [np.nan, 0.0, -0.0, ZERO, -ZERO, 5e-36, -5e-36, 5e-324, 1e300, -1e300, 3.4028235e38, 3.5e38]
        for _ in range(N_NUMBERS)
    ]
    for tree in model.trees:
        sets = np.full(len(tree.left), -1) if tree.category_set is None else tree.category_set
        for node in np.flatnonzero((tree.left >= 0) & (sets < 0) & (tree.feature < N_NUMBERS)):
            split = tree.threshold[node]
            near = np.float32(split)
            with np.errstate(over="ignore"):  # CatBoost's least border is the least float32
                steps = [np.nextafter(near, np.float32(side)) for side in (-np.inf, np.inf)]
            levels[tree.feature[node]] += [
                split, np.nextafter(split, -np.inf), np.nextafter(split, np.inf), *map(float, (near, *steps)),
            ]  # fmt: skip
    rows = X[rng.integers(0, len(X), 1500)].copy()
    for place in range(N_NUMBERS):
        changed = rng.random(len(rows)) < 0.6
        rows[changed, place] = rng.choice(levels[place], changed.sum())
    for place, size in zip(PLACES, SIZES, strict=True):
        changed = rng.random(len(rows)) < 0.6
        rows[changed, place] = rng.integers(0, size, changed.sum())
    return rows


def sources_of(graph: OnnxGraph, n_numbers: int) -> tuple[frozenset[str], ...]:
    """Say that each number is a column of its own."""
    return tuple(frozenset({name}) for name in list(graph.inputs)[:n_numbers])


def by_graph(classifier: Any, X: NDArray[np.float64], sizes: tuple[int, ...] = SIZES) -> NDArray[np.float64]:
    """Answer with the graph of a classifier of numbers and codes."""
    n_numbers = X.shape[1] - len(sizes)
    graph = OnnxGraph(
        {f"x{place}": "double" if place < n_numbers else "int64" for place in range(X.shape[1])}
    )
    numbers = graph.add("Concat", *[f"x{place}" for place in range(n_numbers)], axis=1) if n_numbers else None
    codes = tuple(
        CodeColumn(name, name, size) for name, size in zip(list(graph.inputs)[n_numbers:], sizes, strict=True)
    )
    features = FeatureTensors(numbers, sources_of(graph, n_numbers), codes)
    output = classifier_to_onnx(graph, features, classifier)
    columns = {f"x{place}": X[:, place] for place in range(X.shape[1])}
    for place in range(n_numbers, X.shape[1]):
        columns[f"x{place}"] = X[:, place].astype(np.int64)
    return Predictor(save_model(graph.model(output, "p"))).predict(columns)


def require_equal(
    classifier: Any, X: NDArray[np.float64], most: float, sizes: tuple[int, ...] = SIZES
) -> None:
    expected = np.asarray(classifier.predict_proba(X)[:, 1], dtype=np.float64)
    got = by_graph(classifier, X, sizes)
    assert np.abs(got - expected).max() <= most
    for threshold in np.random.default_rng(0).choice(expected, 3):
        below = np.unique(expected[expected < threshold])
        midway = (threshold + below[-1]) / 2 if below.size else threshold / 2
        assert ((got >= midway) == (expected >= midway)).all()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    num_leaves=st.integers(2, 12),
    n_trees=st.integers(1, 12),
    more=st.sampled_from(
        [{}, {"bagging_fraction": 0.5, "bagging_freq": 1}, {"feature_fraction": 0.5}, {"max_cat_to_onehot": 1},
         {"min_data_per_group": 2, "cat_smooth": 0.1, "cat_l2": 0.0}, {"lambda_l1": 0.1}]
    ),
    balanced=st.booleans(),
)  # fmt: skip
def test_lightgbm(seed: int, num_leaves: int, n_trees: int, more: dict[str, Any], balanced: bool) -> None:
    X, y = draw_table(seed)
    classifier = LightGBMClassifier(
        {"num_leaves": num_leaves, "min_data_in_leaf": 5, **more},
        n_estimators=n_trees,
        early_stopping_rounds=None,
        class_weight="balanced" if balanced else None,
        categories=PLACES,
        random_state=seed,
    ).fit(X, y)
    require_equal(classifier, probes(classifier, X, seed), 5e-16)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    max_depth=st.integers(1, 5),
    n_trees=st.integers(1, 12),
    more=st.sampled_from(
        [{}, {"colsample_bytree": 0.5}, {"subsample": 0.5}, {"max_cat_to_onehot": 100}, {"max_cat_to_onehot": 1},
         {"base_score": 0.3}, {"booster": "dart", "rate_drop": 0.3}, {"num_parallel_tree": 3, "subsample": 0.5},
         {"min_child_weight": 0.0, "gamma": 0.1}]
    ),
    balanced=st.booleans(),
)  # fmt: skip
def test_xgboost(seed: int, max_depth: int, n_trees: int, more: dict[str, Any], balanced: bool) -> None:
    X, y = draw_table(seed)
    classifier = XGBoostClassifier(
        {"max_depth": max_depth, **more},
        n_estimators=n_trees,
        early_stopping_rounds=None,
        class_weight="balanced" if balanced else None,
        categories=PLACES,
        random_state=seed,
    ).fit(X, y)
    require_equal(classifier, probes(classifier, X, seed), 5e-16)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    depth=st.integers(1, 7),
    n_trees=st.integers(1, 12),
    more=st.sampled_from(
        [{}, {"rsm": 0.5}, {"bootstrap_type": "MVS", "subsample": 0.5}, {"one_hot_max_size": 10},
         {"one_hot_max_size": 255}, {"boosting_type": "Ordered"}, {"random_strength": 5.0},
         {"boost_from_average": True}]
    ),
    balanced=st.booleans(),
)  # fmt: skip
def test_catboost(seed: int, depth: int, n_trees: int, more: dict[str, Any], balanced: bool) -> None:
    X, y = draw_table(seed)
    classifier = CatBoostClassifier(
        {"depth": depth, "learning_rate": 0.3, **more},
        n_estimators=n_trees,
        early_stopping_rounds=None,
        class_weight="balanced" if balanced else None,
        categories=PLACES,
        random_state=seed,
    ).fit(X, y)
    require_equal(classifier, probes(classifier, X, seed), 5e-16)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), max_leaf_nodes=st.integers(2, 12))
def test_histogram_gradient_boosting(seed: int, max_leaf_nodes: int) -> None:
    X, y = draw_table(seed)
    classifier = HistGradientBoostingClassifier(
        max_iter=6, max_leaf_nodes=max_leaf_nodes, min_samples_leaf=5, categorical_features=list(PLACES)
    ).fit(X, y)
    require_equal(classifier, probes(classifier, X, seed), 5e-16)


@pytest.mark.parametrize("kind", [LightGBMClassifier, XGBoostClassifier, CatBoostClassifier])
def test_a_model_of_categories_alone(kind: Any) -> None:
    X, y = draw_table(3)
    codes = np.ascontiguousarray(X[:, N_NUMBERS:])
    classifier = kind({}, n_estimators=5, early_stopping_rounds=None, categories=(0, 1)).fit(codes, y)
    require_equal(classifier, codes, 5e-16)


@pytest.mark.parametrize(
    "parameters",
    [
        {"boosting_type": "dart"},
        {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1},
        {"data_sample_strategy": "goss"},
        {"zero_as_missing": True},
        {"use_missing": False},
        {"sigmoid": 2.0},
        {"class_weight": "balanced"},
        {"boost_from_average": False},
        {"extra_trees": True},
    ],
    ids=str,
)
def test_lightgbms_own_classifier(parameters: dict[str, Any]) -> None:
    X, y = draw_table(5)
    numbers = X[:, :N_NUMBERS]
    classifier = lightgbm.LGBMClassifier(
        n_estimators=8,
        num_leaves=6,
        min_child_samples=5,
        n_jobs=1,
        verbosity=-1,
        random_state=1,
        **parameters,
    ).fit(numbers, y)
    require_equal(classifier, probes(classifier, X, 1)[:, :N_NUMBERS], 5e-16, sizes=())


@pytest.mark.parametrize(
    "parameters",
    [{}, {"booster": "dart", "rate_drop": 0.3}, {"num_parallel_tree": 2, "subsample": 0.5},
     {"tree_method": "exact"}, {"colsample_bynode": 0.5}, {"scale_pos_weight": 3.0}],
    ids=str,
)  # fmt: skip
def test_xgboosts_own_classifier(parameters: dict[str, Any]) -> None:
    X, y = draw_table(6)
    numbers = np.clip(X[:, :N_NUMBERS], -1e30, 1e30)
    classifier = xgboost.XGBClassifier(
        n_estimators=8, max_depth=3, n_jobs=1, verbosity=0, random_state=1, **parameters
    ).fit(numbers, y)
    rows = np.clip(probes(classifier, X, 1)[:, :N_NUMBERS], -1e30, 1e30)
    expected = classifier.predict_proba(rows)[:, 1]
    # its own sigmoid is a float32, whose exponential each C library rounds in its own way
    assert np.abs(by_graph(classifier, rows, ()) - expected).max() <= 1.2e-7


def test_early_stopping_of_xgboosts_own_classifier() -> None:
    X, y = draw_table(7, 900)
    numbers = X[:, :N_NUMBERS]
    classifier = xgboost.XGBClassifier(n_estimators=200, early_stopping_rounds=3, n_jobs=1, learning_rate=0.5)
    classifier.fit(numbers[:600], y[:600], eval_set=[(numbers[600:], y[600:])], verbose=False)
    assert classifier.best_iteration + 1 < classifier.get_booster().num_boosted_rounds()
    model = tree_sum_of(classifier)
    assert model is not None
    assert len(model.trees) == classifier.best_iteration + 1
    assert np.abs(by_graph(classifier, numbers, ()) - classifier.predict_proba(numbers)[:, 1]).max() <= 1.2e-7


@pytest.mark.parametrize(
    "parameters",
    [{}, {"nan_mode": "Max"}, {"loss_function": "CrossEntropy"}, {"boost_from_average": True},
     {"auto_class_weights": "Balanced"}, {"model_shrink_rate": 0.1}],
    ids=str,
)  # fmt: skip
def test_catboosts_own_classifier(parameters: dict[str, Any]) -> None:
    X, y = draw_table(6)
    numbers = X[:, :N_NUMBERS]
    classifier = catboost.CatBoostClassifier(iterations=8, **QUIET, **parameters).fit(numbers, y)
    require_equal(classifier, probes(classifier, X, 1)[:, :N_NUMBERS], 5e-16, sizes=())


def test_a_symmetric_tree_is_written_without_what_no_row_reaches() -> None:
    X, y = draw_table(7, 2000)
    classifier = CatBoostClassifier(
        {"depth": 8}, n_estimators=20, early_stopping_rounds=None, categories=PLACES
    ).fit(X, y)
    model = tree_sum_of(classifier)
    assert model is not None
    assert sum(len(tree.left) for tree in model.trees) < 0.5 * 20 * (2**9 - 1)


@pytest.mark.parametrize(
    ("classifier", "reason"),
    [
        (lightgbm.LGBMClassifier(n_estimators=3, linear_tree=True, verbosity=-1), "linear leaves"),
        (lightgbm.LGBMClassifier(n_estimators=3, objective="cross_entropy", verbosity=-1), "objective cross"),
        (xgboost.XGBClassifier(n_estimators=3, booster="gblinear", verbosity=0), "booster gblinear"),
        (
            xgboost.XGBClassifier(n_estimators=3, objective="binary:hinge", verbosity=0),
            "objective binary:hinge",
        ),
        (xgboost.XGBClassifier(n_estimators=3, missing=0.0, verbosity=0), "other than NaN"),
        (catboost.CatBoostClassifier(iterations=3, grow_policy="Depthwise", **QUIET), "not symmetric"),
        (
            catboost.CatBoostClassifier(
                iterations=3, loss_function="Focal:focal_alpha=0.5;focal_gamma=0.2", **QUIET
            ),
            "loss Focal",
        ),
    ],
    ids=["linear_tree", "cross_entropy", "gblinear", "hinge", "missing", "depthwise", "focal"],
)
@pytest.mark.filterwarnings("ignore")
def test_what_has_no_exact_graph_is_refused_with_the_reason(classifier: Any, reason: str) -> None:
    X, y = draw_table(8)
    classifier.fit(np.nan_to_num(X[:, :N_NUMBERS]), y)
    with pytest.raises(ExportError, match=reason):
        tree_sum_of(classifier)


def test_a_split_by_categories_costs_one_lookup_a_column() -> None:
    X, y = draw_table(9, 2000)
    counts = []
    for n_trees in (2, 40):
        classifier = LightGBMClassifier(
            {"min_data_per_group": 2}, n_estimators=n_trees, early_stopping_rounds=None, categories=PLACES
        ).fit(X, y)
        graph = OnnxGraph({f"x{place}": "double" if place < 3 else "int64" for place in range(5)})
        numbers = graph.add("Concat", "x0", "x1", "x2", axis=1)
        codes = tuple(CodeColumn(f"x{at}", f"x{at}", size) for at, size in zip(PLACES, SIZES, strict=True))
        features = FeatureTensors(numbers, sources_of(graph, N_NUMBERS), codes)
        output = classifier_to_onnx(graph, features, classifier)
        nodes = [node.op_type for node in graph.model(output, "p").graph.node]
        assert nodes.count("GatherND") == len(PLACES)
        counts.append(len(nodes))
    assert counts[0] == counts[1]


def test_statistics_of_combined_categories_are_refused() -> None:
    X, y = draw_table(10, 2000)
    y = ((X[:, 3] + X[:, 4]) % 2).astype(np.int64)
    classifier = CatBoostClassifier(
        {"model_size_reg": 0.0}, n_estimators=20, early_stopping_rounds=None, categories=PLACES
    ).fit(X, y)
    combined = classifier._settings() | {"max_ctr_complexity": 2}
    classifier.booster_ = catboost.train(classifier.pool(X, y), combined, iterations=20)
    with pytest.raises(ExportError, match="combined categories"):
        tree_sum_of(classifier)
