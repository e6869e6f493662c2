"""Score files and folders beside the bare kernel and beside scikit-learn, on the same rows and cores.

    python -m benchmarks.scoring --project PATH --rows 200000 --repeats 5
    python -m benchmarks.scoring --project PATH --rows 200000 --mlflow

The bare kernel is the champion's graph in ONNX Runtime, called on arrays in memory in the types it takes,
with as many threads as there are cores. scikit-learn is `predict_proba` of the champion's own pipeline on a
typed frame in memory, MLflow the pyfunc of that pipeline on a pandas frame; neither reads, checks or writes.
Ours reads, checks, scores and writes. The ways take turns; what is shown is the median of the ratios to the
kernel of the same turn: on a machine that others use too, only neighbours compare. The CPU time of a row, and
its ratio, say what a way costs whoever else is at work.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import polars as pl

from tabloop.artifacts.store import RunStore
from tabloop.config.loading import load_project
from tabloop.contract.feature_table import typed_columns
from tabloop.cores import cpu_count
from tabloop.data.students import write_students
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import decide_side_by_side, load_service
from tabloop.scoring.data_set import score_data_set
from tabloop.scoring.job import score

_PARTS = 20


def measure(project_path: Path, rows: int, repeats: int, *, with_mlflow: bool) -> dict[str, Any]:
    """Time every way `repeats` times; give rows a second and the ratio to the kernel."""
    project = load_project(project_path)
    run = RunStore(project.model_dir).require_champion()
    service = load_service(run)
    with tempfile.TemporaryDirectory(prefix="tabloop-scoring-") as name:
        folder = Path(name)
        write_students(folder / "rows.csv", rows, seed=11)
        frame = pl.read_csv(folder / "rows.csv", null_values=[""]).drop("purchased")
        frame.write_parquet(folder / "rows.parquet")
        frame.write_csv(folder / "rows.csv")
        (folder / "parts").mkdir()
        for number in range(_PARTS):
            size = -(-rows // _PARTS)
            frame.slice(number * size, size).write_parquet(folder / f"parts/{number:02}.parquet")
        typed = typed_columns(project.contract, frame)
        columns = columns_of_frame(project.contract, typed)
        pipeline = joblib.load(run.path / "best_model.joblib")
        n_out = iter(range(10**9))

        def into_folder(source: str) -> None:
            score_data_set(project, None, str(folder / source), str(folder / f"out-{next(n_out)}"))

        def into_file(source: str, suffix: str) -> None:
            score(project, None, str(folder / source), folder / f"out-{next(n_out)}{suffix}")

        with ThreadPoolExecutor(cpu_count()) as pool:
            ways: dict[str, Callable[[], object]] = {
                "bare kernel": lambda: decide_side_by_side(service, columns, pool),
                "CSV file to CSV file": lambda: into_file("rows.csv", ".csv"),
                "Parquet file to Parquet file": lambda: into_file("rows.parquet", ".parquet"),
                "CSV file to folder": lambda: into_folder("rows.csv"),
                "Parquet file to folder": lambda: into_folder("rows.parquet"),
                f"{_PARTS} Parquet files to folder": lambda: into_folder("parts"),
                "scikit-learn, in memory": lambda: pipeline.predict_proba(typed),
            }
            if with_mlflow:
                ways["MLflow pyfunc, in memory"] = _pyfunc(pipeline, folder / "mlflow", typed)
            took: dict[str, list[float]] = {name: [] for name in ways}
            worked: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(repeats):
                for name, way in ways.items():
                    begun, cpu_begun = time.perf_counter(), time.process_time()
                    way()
                    took[name].append(time.perf_counter() - begun)
                    worked[name].append(time.process_time() - cpu_begun)
    kernel = took["bare kernel"]
    return {
        name: {
            "rows_per_s": round(rows / statistics.median(seconds)),
            "cpu_us_per_row": round(1e6 * statistics.median(worked[name]) / rows, 1),
            "ratio": _ratio(kernel, seconds),
            "cpu_ratio": _ratio(worked["bare kernel"], worked[name]),
        }
        for name, seconds in took.items()
    }


def _ratio(kernel: list[float], others: list[float]) -> float:
    return round(statistics.median(k / other for k, other in zip(kernel, others, strict=True)), 3)


def _pyfunc(pipeline: Any, folder: Path, typed: pl.DataFrame) -> Callable[[], object]:
    """Load the pipeline as MLflow does it for a batch, `spark_udf` and its server."""
    import mlflow.pyfunc
    import mlflow.sklearn

    mlflow.sklearn.save_model(
        pipeline, folder, serialization_format="cloudpickle", pyfunc_predict_fn="predict_proba"
    )
    model = mlflow.pyfunc.load_model(str(folder))
    frame = typed.to_pandas()
    return lambda: model.predict(frame)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path("config.yaml"))
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--mlflow", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.project, given.rows, given.repeats, with_mlflow=given.mlflow)
    if given.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        print(
            f"{name:<32}{figures['rows_per_s']:>10,} rows/s {figures['ratio']:.2f} of the kernel; "
            f"{figures['cpu_us_per_row']:.1f} CPU µs a row, {figures['cpu_ratio']:.2f}"
        )


if __name__ == "__main__":
    main()
