"""The stages that `benchmarks.scaling` measures, each on inputs of any number of rows.

`python -m benchmarks.scaling_stages STAGE SECONDS WARM_FOLDER FOLDER...` runs one stage in a process of its
own: first on the few rows of the warm folder, which imports what it needs, then on one folder after the
other, up to the one after which the next would take longer. It prints a line of what each took.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import polars as pl
import yaml
from pydantic import TypeAdapter
from sklearn.pipeline import Pipeline

from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.store import RunStore
from tabloop.cli import main as run_command
from tabloop.config.loading import load_project
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.config.training import Candidate
from tabloop.contract.feature_table import feature_frame
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.data.dataset import read_dataset
from tabloop.optimization.export.pipeline import export_pipeline, save_model
from tabloop.streaming.events import EventCodec
from tabloop.training.folds import assign_folds
from tabloop.training.preprocessing import ContractFeatures
from tabloop.training.task import Task, TaskOutcome, Workbench, run_task

#: Candidates of training, as `init` writes them for large tables; the two whose rows are capped come last.
CANDIDATES = {
    "logistic_regression": {"max_iter": 2000},
    "decision_tree": {"max_depth": 8, "min_samples_leaf": 10},
    "random_forest": {"n_estimators": 100, "min_samples_leaf": 2, "max_samples": 10_000},
    "hist_gradient_boosting": {},
    "svm": {},
    "k_neighbors": {"n_neighbors": 7},
}
#: A fit is cheap to repeat only when it is short.
_REPEATS, _REPEATED_S = 3, 1.0
_LOG_BATCH_ROWS = 1000
_ROOT = Path(__file__).parents[1]

Prepared = Callable[[], object]


def make_project(folder: Path) -> None:
    """Make a small project with a champion: the students' contract, drawn rows, a forest of 20 trees."""
    settings = yaml.safe_load((_ROOT / "config.yaml").read_text())
    settings["training"]["candidates"] = {"random_forest": {"n_estimators": 20}}
    settings["data"]["source"] = {"kind": "csv", "path": "rows.csv"}
    settings["benchmarking"] |= {"in_run": "none"}
    settings["release"] |= {"load_test_s": 0.3, "max_wait_p99_ms": 60_000.0, "min_roc_auc": 0.0}
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    _command(folder, "data", "synthesize", "--rows", "5000", "--output", "rows.csv")
    _command(folder, "run")


def write_inputs(folder: Path, n_rows: int) -> None:
    """Write what the stages read: a table with its target, a log of as many rows, an outcome of each."""
    project = load_project(folder / "config.yaml", environ={})
    run = RunStore(project.model_dir).require_champion()
    _command(folder, "data", "synthesize", "--rows", str(n_rows), "--output", "rows.csv")
    rng = np.random.default_rng(1)
    codec = EventCodec(run.contract).records
    records = [codec.record_of(row) for row in sample_rows(run.contract, 20_000, seed=1).to_dicts()]
    ids: list[str] = []
    settings = PredictionLogConfig(durability="memory", compress=False)
    with PredictionLogWriter(project.model_dir, settings) as log:
        for start in range(0, n_rows, _LOG_BATCH_ROWS):
            n = min(_LOG_BATCH_ROWS, n_rows - start)
            probability = rng.beta(0.3, 2.0, n)
            label = (probability >= run.threshold).astype(int).tolist()
            rows = [records[place] for place in rng.integers(0, len(records), n)]
            ids += log.append(
                rows, probability.tolist(), label, run_id=run.run_id, threshold=run.threshold
            ).prediction_ids
    pl.DataFrame({"prediction_id": ids, "label": rng.integers(0, 2, n_rows)}).write_csv(
        folder / "outcomes.csv"
    )


def stages() -> dict[str, Callable[[Path], Prepared]]:
    """Name the stages; each prepares in a folder what is not measured, and gives what is."""
    fits = {f"fit {name}": _fit(name) for name in CANDIDATES}
    return {
        "read and check": lambda folder: lambda: _command(folder, "data", "check"),
        **fits,
        "export": _export,
        "score": lambda folder: lambda: _command(folder, "score", "rows.csv", "--output", "scored.parquet"),
        "drift": lambda folder: lambda: _command(folder, "drift", "--log", "artifacts"),
        "log verify": lambda folder: lambda: _command(folder, "log", "verify", "artifacts"),
        "feedback import": _feedback,
    }


def _command(folder: Path, *arguments: str) -> None:
    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            run_command(arguments)
        except SystemExit as ended:
            if ended.code:
                raise RuntimeError(f"tabloop {' '.join(arguments)}: {said.getvalue()}") from ended


def _fit(name: str) -> Callable[[Path], Prepared]:
    """Fit a candidate on four of five folds and score the fifth, on one thread: the unit of training."""

    def prepare(folder: Path) -> Prepared:
        bench = _bench(folder)
        return lambda: _done(run_task(bench, _task(name, 0)))

    return prepare


def _export(folder: Path) -> Prepared:
    """Write the graph of a forest that was fitted on the rows."""
    bench = _bench(folder)
    path = _done(run_task(bench, _task("random_forest", None))).model_path
    assert path is not None

    def export() -> bytes:
        fitted = joblib.load(path)
        whole = Pipeline([("features", ContractFeatures(bench.contract.to_dict())), *fitted.steps])
        return save_model(export_pipeline(whole, bench.contract))

    return export


def _bench(folder: Path) -> Workbench:
    """Lay the rows out as training does."""
    project = load_project(folder / "config.yaml", environ={})
    frame = read_dataset(project.config.data, project.contract, project.folder).frame
    y = frame[project.contract.target.name].to_numpy().astype(np.int8)
    laid = folder / "bench"
    laid.mkdir(exist_ok=True)
    folds = assign_folds(y, n_splits=5, seed=project.config.seed, groups=None)
    features = feature_frame(project.contract, frame)
    return Workbench.lay_out(laid, project.config, project.contract, features, y, folds)


def _task(name: str, fold: int | None) -> Task:
    candidate = TypeAdapter(Candidate).validate_python({"kind": name, **CANDIDATES[name]})
    return Task(name, candidate, fold)


def _done(outcome: TaskOutcome) -> TaskOutcome:
    if outcome.failure is not None:
        raise RuntimeError(outcome.failure)
    return outcome


def _feedback(folder: Path) -> Prepared:
    """Look every outcome up in the log and join it with its prediction."""

    def join() -> None:
        (folder / "artifacts" / "feedback.jsonl").unlink(missing_ok=True)
        _command(folder, "feedback", "import", "outcomes.csv")

    return join


def measure(work: Prepared) -> dict[str, float]:
    """Measure a call: the least of some repeats where it is short.

    Returns
    -------
    measured : dict of str to float
        `cpu_s`, `wall_s`, and `peak_mb`: the largest resident size of the process while it ran, in MiB.
    """
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    best: dict[str, float] = {}
    for _ in range(_REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if not best or cpu < best["cpu_s"]:
            best = {"cpu_s": cpu, "wall_s": wall}
        if cpu > _REPEATED_S:
            break
    status = Path("/proc/self/status").read_text()
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    return {**best, "peak_mb": peak_kib / 1024}


def main(stage: str, seconds: float, warm_folder: Path, folders: list[Path]) -> None:
    """Run a stage on few rows, then measure it size by size; print a line each."""
    prepare = stages()[stage]
    prepare(warm_folder)()
    for folder in folders:
        measured = measure(prepare(folder))
        print(json.dumps(measured), flush=True)
        if measured["cpu_s"] * 3.3 > seconds:
            return


if __name__ == "__main__":
    stage, seconds, warm_folder, *folders = sys.argv[1:]
    main(stage, float(seconds), Path(warm_folder), [Path(folder) for folder in folders])
