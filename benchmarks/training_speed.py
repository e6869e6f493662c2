"""Training beside the plain way: the same five models and hyperparameters on the same training rows.

The plain way takes each candidate in turn: `cross_validate(n_jobs=-1)`, then `fit`, with
`SVC(probability=True)`. Ours is `train_model`: one pool over all (candidate, fold) tasks and the fits on all
rows, rare countries grouped (the default), the sigmoid of the SVM fitted on out-of-fold decision values. Both
start from the same typed frame and end with five fitted models; runs alternate.

    python benchmarks/training_speed.py --real PATH --repeats 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from tabloop.config.loading import Project, load_project
from tabloop.contract.feature_table import feature_frame
from tabloop.data.dataset import read_dataset
from tabloop.data.split import Split, split_dataset
from tabloop.training.train import train_model

ROOT = Path(__file__).parents[1]
SCORING = ("roc_auc", "average_precision", "precision", "recall", "f1", "neg_brier_score")


def plain_way(project: Project, split: Split) -> dict[str, float]:
    """Train as most notebooks do; give the seconds of each candidate."""
    contract = project.contract
    y = split.train[contract.target.name].to_numpy()
    X = feature_frame(contract, split.train)
    classifiers = {
        "logistic_regression": LogisticRegression(max_iter=2000, random_state=42),
        "k_neighbors": KNeighborsClassifier(7),
        "svm": SVC(probability=True, random_state=42),
        "decision_tree": DecisionTreeClassifier(max_depth=8, min_samples_leaf=10, random_state=42),
        "random_forest": RandomForestClassifier(400, min_samples_leaf=2, random_state=42),
    }
    seconds = {}
    for name, classifier in classifiers.items():
        start = time.perf_counter()
        numeric = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
        encode = OneHotEncoder(handle_unknown="ignore")  # sparse, as it comes
        columns = [
            ("numeric", numeric, list(contract.numeric_features)),
            ("category", encode, list(contract.category_features)),
        ]
        pipeline = Pipeline([("preprocess", ColumnTransformer(columns)), ("classifier", classifier)])
        folds = StratifiedKFold(5, shuffle=True, random_state=42)
        cross_validate(pipeline, X, y, cv=folds, scoring=SCORING, n_jobs=-1)
        pipeline.fit(X, y)
        seconds[name] = time.perf_counter() - start
    return seconds


def measure(project: Project, split: Split, repeats: int) -> dict[str, Any]:
    """Time both ways in turn."""
    plain, ours, detail = [], [], {}
    for _ in range(repeats):
        start = time.perf_counter()
        detail = plain_way(project, split)
        plain.append(time.perf_counter() - start)
        start = time.perf_counter()
        train_model(project.config, project.contract, split.train, split.test, groups=split.train_groups)
        ours.append(time.perf_counter() - start)
    ratios = [b / a for a, b in zip(plain, ours, strict=True)]
    return {
        "rows": split.train.height,
        "cores": os.cpu_count(),
        "plain_s": plain,
        "tabloop_s": ours,
        "ratio": ratios,
        "ratio_median": statistics.median(ratios),
        "plain_detail_s": detail,
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    folder = os.environ.get("TABLOOP_REAL_DATA")
    default = Path(folder) / "ml_datasource.csv" if folder else ROOT / "data" / "ml_datasource.csv"
    parser.add_argument(
        "--real", type=Path, default=default, help="the table; by default the real or bundled one"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    pl.Config.set_tbl_rows(0)

    project = load_project(ROOT / "config.yaml", overrides=[f"data.source.path={arguments.real.absolute()}"])
    dataset = read_dataset(project.config.data, project.contract, project.folder)
    split = split_dataset(dataset.frame, "purchased", test_size=0.2, seed=42)
    measured = measure(project, split, arguments.repeats)
    if arguments.json:
        print(json.dumps(measured, indent=2))
        return
    print(f"{measured['rows']:,} training rows, {measured['cores']} cores\n")
    print("run   plain way, s   tabloop, s   ratio")
    for run, (a, b, ratio) in enumerate(
        zip(measured["plain_s"], measured["tabloop_s"], measured["ratio"], strict=True), 1
    ):
        print(f"{run:3}   {a:12.1f}   {b:10.1f}   {ratio:5.2f}")
    print(f"\nmedian ratio {measured['ratio_median']:.2f}")
    print(
        "plain way by candidate, s: "
        + ", ".join(f"{n} {s:.1f}" for n, s in measured["plain_detail_s"].items())
    )


if __name__ == "__main__":
    main()
