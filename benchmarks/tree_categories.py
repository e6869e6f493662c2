"""Compare ways to show categories to scikit-learn's trees: ROC-AUC, nodes and CPU time, by cross-validation.

    python -m benchmarks.tree_categories --real ml_datasource.csv --tables wide chile males

`wide` is `benchmarks.wide_table`; the other tables are those of `benchmarks.accuracy`, which come with
packages. Three ways: one 0/1 column a category, imputed and scaled, as linear models see a row; codes in the
order of the categories' names; codes in the order of their share of positives, which is what tabloop does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.tree import DecisionTreeClassifier

import tabloop as tl
from benchmarks.accuracy import TABLES
from benchmarks.wide_table import wide_table
from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.training.category_codes import CategoryCodes
from tabloop.training.family import SCALED, TREES
from tabloop.training.preprocessing import build_preprocessor

WAYS = ("0/1 columns", "by name", "by share")


def preprocessor_of(way: str, contract: Contract, min_rows: int) -> ColumnTransformer:
    """Build the preprocessing of one way."""
    config = PreprocessingConfig(min_category_rows=min_rows)
    if way == "0/1 columns":
        return build_preprocessor(config, contract, SCALED)
    ordered = build_preprocessor(config, contract, TREES)
    if way == "by name":
        by_name = CategoryCodes(min_rows)
        ordered.transformers = [
            (name, by_name if name == "category" else step, columns)
            for name, step, columns in ordered.transformers
        ]
    return ordered


def training_rows(
    path: Path, target: str, categories: list[str]
) -> tuple[Contract, int, pl.DataFrame, NDArray[Any]]:
    """Give contract, `min_category_rows`, features and targets of the training part, as of `init`."""
    with tempfile.TemporaryDirectory() as folder:
        config = tl.init(path, target=target, positive="1")
        settings: dict[str, Any] = {
            "training.candidates": {"logistic_regression": {}},
            "artifacts.model_dir": folder,
        }
        for name in categories:
            settings |= {f"contract.columns.{name}.{k}": v for k, v in (("open", True), ("type", "category"))}
        config.update(settings)
        run = tl.train(path, config, progress=False)
        rows = pl.DataFrame(run.rows("train"))
        fewest = run.config.preprocessing.min_category_rows
        return run.contract, fewest, feature_frame(run.contract, rows), rows[target].cast(pl.Int8).to_numpy()


def compare(name: str, path: Path, target: str, trees: int, seeds: int, categories: list[str]) -> None:
    """Print a line for each model and way."""
    contract, min_rows, features, y = training_rows(path, target, categories)
    for model in ("decision_tree", "random_forest"):
        for way in WAYS:
            found, cpu_s, nodes = [], 0.0, 0
            for seed in range(seeds):
                for train, held_out in StratifiedKFold(5, shuffle=True, random_state=seed).split(y, y):
                    begun = time.process_time()
                    preprocessor = preprocessor_of(way, contract, min_rows)
                    x = np.asfortranarray(
                        preprocessor.fit_transform(features[train], y[train]), dtype=np.float32
                    )
                    classifier: Any = (
                        DecisionTreeClassifier(max_depth=8, min_samples_leaf=10, random_state=seed)
                        if model == "decision_tree"
                        else RandomForestClassifier(trees, min_samples_leaf=2, random_state=seed)
                    ).fit(x, y[train])
                    cpu_s += time.process_time() - begun
                    scores = classifier.predict_proba(preprocessor.transform(features[held_out]))[:, 1]
                    found.append(roc_auc_score(y[held_out], scores))
                    nodes = sum(t.tree_.node_count for t in getattr(classifier, "estimators_", [classifier]))
            error = np.std(found) / np.sqrt(len(found))
            print(f"{name:8} {model:14} {way:12} {np.mean(found):.4f} +- {error:.4f} {nodes:8} nodes "
                  f"{cpu_s / len(found):6.2f} s", flush=True)  # fmt: skip


def main() -> None:
    """Read the arguments and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, help="the students' table")
    parser.add_argument("--tables", nargs="*", default=["wide"], choices=["wide", *TABLES])
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.real is not None:
        compare("real", arguments.real, "purchased", arguments.trees, arguments.seeds, [])
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.tables:
            path = Path(folder) / f"{name}.csv"
            (wide_table(20_000) if name == "wide" else TABLES[name]()).write_csv(path)
            target, categories = ("bought", ["group_5000"]) if name == "wide" else ("target_", [])
            compare(name, path, target, arguments.trees, arguments.seeds, categories)


if __name__ == "__main__":
    main()
