"""Every kind of column and every preprocessing option, in the graph as in the pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from tests.optimization.fitted_pipelines import (
    EVERYTHING,
    by_graph,
    fit_pipeline,
    mixed_rows,
    named,
    require_parity,
)
from tests.optimization.probes import split_probes

from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.inference.records.frame_columns import input_types
from tabloop.training.family import NATIVE
from tabloop.training.preprocessing import build_preprocessor


@pytest.fixture(scope="module")
def everything() -> Contract:
    return Contract.from_dict(EVERYTHING)


@pytest.fixture(scope="module")
def mixed() -> tuple[pl.DataFrame, NDArray[Any]]:
    return mixed_rows()


@pytest.mark.parametrize("numeric_imputer", ["median", "mean", "zero"])
@pytest.mark.parametrize("categorical_imputer", ["most_frequent", "missing"])
@pytest.mark.parametrize(("outlier_factor", "min_category_rows"), [(None, 150), (0.5, 1)])
def test_every_preprocessing_option_agrees(
    everything: Contract,
    mixed: tuple[pl.DataFrame, NDArray[Any]],
    numeric_imputer: str,
    categorical_imputer: str,
    outlier_factor: float | None,
    min_category_rows: int,
) -> None:
    rows, y = mixed
    options: dict[str, Any] = {
        "numeric_imputer": numeric_imputer,
        "categorical_imputer": categorical_imputer,
        "outlier_factor": outlier_factor,
        "min_category_rows": min_category_rows,
    }
    unseen = rows.head(20).with_columns(country=pl.lit("ZZ"))
    empty = rows.head(20).with_columns(
        *(pl.lit(None, rows[name].dtype).alias(name) for name, c in everything.columns.items() if c.nullable)
    )
    extreme = rows.head(20).with_columns(pl.lit(50.0).alias("Größe (cm)"), age=pl.lit(0, pl.Int64))
    asked = pl.concat([rows, sample_rows(everything, 1000, seed=9), unseen, empty, extreme])
    linear = fit_pipeline(everything, rows, y, named("logistic_regression"), **options)
    require_parity(linear, everything, asked, most=1e-12)
    # every feature matters to a model that splits on each of them, and a tree agrees in every bit
    tree = fit_pipeline(everything, rows, y, named("random_forest"), **options)
    require_parity(tree, everything, asked, most=0.0)


def test_an_unseen_category_goes_to_the_group_or_nowhere(
    everything: Contract, mixed: tuple[pl.DataFrame, NDArray[Any]]
) -> None:
    rows, y = mixed
    counts = rows["country"].value_counts(sort=True)
    common, rare = counts["country"][0], counts["country"][-1]

    def answers(country: str, fewest: int) -> NDArray[np.float64]:
        pipeline = fit_pipeline(everything, rows, y, named("logistic_regression"), min_category_rows=fewest)
        asked = rows.head(50).with_columns(country=pl.lit(country))
        require_parity(pipeline, everything, asked, most=1e-12)
        return by_graph(pipeline, everything, asked)

    grouping = int(counts["count"][0])
    assert (answers("ZZ", grouping) == answers(rare, grouping)).all()
    assert (answers("ZZ", grouping) != answers(common, grouping)).all()
    # without a group, it is none of the known ones
    assert (answers("ZZ", 1) != answers(common, 1)).all()
    assert (answers("ZZ", 1) != answers(rare, 1)).all()


def test_columns_that_were_null_throughout_agree(everything: Contract) -> None:
    rows = sample_rows(everything, 300, seed=1)
    void = rows.with_columns(
        *(pl.lit(None, rows[name].dtype).alias(name) for name, c in everything.columns.items() if c.nullable)
    )
    y = (rows["Größe (cm)"] > 0).to_numpy().astype(np.int8)
    for imputer in ("most_frequent", "missing"):
        pipeline = fit_pipeline(
            everything, void, y, named("decision_tree"), categorical_imputer=imputer, min_category_rows=5
        )
        require_parity(pipeline, everything, pl.concat([void, rows]), most=0.0)


@pytest.mark.parametrize(
    "column",
    [
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "category", "categories": ["a", "b"]},
        {"type": "boolean"},
    ],
)
def test_a_single_column_is_enough(column: dict[str, Any]) -> None:
    single = Contract.from_dict({"columns": {"x": column}, "target": {"name": "bought"}})
    rows = sample_rows(single, 200, seed=2)
    y = np.array([value in (True, "b") or "0.3" < str(value) < "9" for value in rows["x"]]).astype(np.int8)
    for name in ("logistic_regression", "decision_tree"):
        require_parity(fit_pipeline(single, rows, y, named(name)), single, rows, most=1e-15)


def test_a_scale_of_almost_one_is_not_lost() -> None:
    single = Contract.from_dict(
        {"columns": {"x": {"type": "number", "minimum": -9, "maximum": 9}}, "target": {"name": "bought"}}
    )
    rows = sample_rows(single, 400, seed=2)
    pipeline = fit_pipeline(single, rows, np.arange(400) % 2, named("decision_tree"))
    pipeline["preprocess"].named_transformers_["numeric"].scale_[:] = 1 + 2e-8
    probes = split_probes(pipeline, single, rows, n_probes=2000)
    require_parity(pipeline, single, probes, most=0.0)


def test_formulas_without_columns_have_a_row_for_each_row() -> None:
    only_text = Contract.from_dict(
        {"columns": {"note": {"type": "text"}}, "features": {"one": "1"}, "target": {"name": "bought"}}
    )
    assert input_types(only_text) == {"note": "string"}
    rows = sample_rows(only_text, 10, seed=2)
    pipeline = fit_pipeline(only_text, rows, np.arange(10) % 2, named("logistic_regression"))
    require_parity(pipeline, only_text, rows, most=1e-15)


_CODES = {"min_category_rows": 150}
_ONE_ENCODED = {"min_category_rows": 1, "target_encoding": ["country"], "missing_indicators": True}
_ALL_ENCODED = {"min_category_rows": 150, "target_encoding": ["plan", "country"]}


# what is encoded depends on the family: one of at most 255 codes, one of any number in float32, one that is
# scaled, one of ordered codes
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, _CODES) for name in ("lightgbm", "catboost")),
        *(
            (name, options)
            for name in ("hist_gradient_boosting", "xgboost", "logistic_regression", "random_forest")
            for options in (_CODES, _ONE_ENCODED, _ALL_ENCODED)
        ),
    ],
)
def test_nulls_codes_and_target_encodings_agree(
    everything: Contract, mixed: tuple[pl.DataFrame, NDArray[Any]], name: str, options: dict[str, Any]
) -> None:
    rows, y = mixed
    unseen = rows.head(20).with_columns(country=pl.lit("ZZ"))
    empty = rows.head(20).with_columns(
        *(pl.lit(None, rows[name].dtype).alias(name) for name, c in everything.columns.items() if c.nullable)
    )
    pipeline = fit_pipeline(everything, rows, y, named(name), **options)
    asked = pl.concat([rows, sample_rows(everything, 1000, seed=9), unseen, empty])
    if name != "logistic_regression":
        asked = pl.concat([asked, split_probes(pipeline, everything, rows, n_probes=400)])
    require_parity(pipeline, everything, asked, most=0.0 if name == "random_forest" else 1e-13)


def test_a_row_is_no_part_of_its_own_target_encoding(
    everything: Contract, mixed: tuple[pl.DataFrame, NDArray[Any]]
) -> None:
    rows, _ = mixed
    each_its_own = rows.with_columns(country=pl.int_range(pl.len()).cast(pl.String))
    coin = np.random.default_rng(0).integers(0, 2, rows.height)
    config = PreprocessingConfig(target_encoding=("country",), min_category_rows=1)
    features = feature_frame(everything, each_its_own)
    encoded = build_preprocessor(config, everything, NATIVE).fit_transform(features, coin)
    column = encoded[:, len(everything.numeric_features)]
    assert abs(float(np.corrcoef(column, coin)[0, 1])) < 0.1
