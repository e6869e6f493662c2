"""What it is worth that the comparisons of an exported forest are turned to the likelier side.

    python -m benchmarks.turned_trees --project FOLDER    # a folder with config.yaml and a champion of trees

Exports the champion twice, with its comparisons turned and as scikit-learn has them. Both graphs are called
in turns, on rows of the project's own data. The times are medians of the processor time of single calls.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.table import Table

from tabloop.artifacts.layout import PIPELINE
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import load_project
from tabloop.contract.feature_table import typed_columns
from tabloop.data.dataset import read_dataset
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.lifecycle.pipeline_file import load_pipeline
from tabloop.optimization.export.pipeline import export_pipeline, save_model

_BATCHES = (1, 4, 16, 64, 256, 1000)
_ROWS_A_ROUND = 4000


@contextmanager
def as_fitted() -> Iterator[None]:
    """Leave comparisons as they are."""
    with patch("tabloop.optimization.export.trees.turn_to_likelier", lambda tree, *_, **__: tree):
        yield


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--project", type=Path, required=True, help="a folder with config.yaml and a champion"
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    project = load_project(options.project / "config.yaml")
    pipeline = load_pipeline(RunStore(project.model_dir).require_champion(), PIPELINE)
    turned = Predictor(save_model(export_pipeline(pipeline, project.contract)))
    with as_fitted():
        fitted = Predictor(save_model(export_pipeline(pipeline, project.contract)))
    read = read_dataset(project.config.data, project.contract, project.folder)
    columns = columns_of_frame(project.contract, typed_columns(project.contract, read.frame))
    assert np.array_equal(turned.predict(columns), fitted.predict(columns)), "they answer differently"
    n_rows = read.frame.height
    table = Table(title=f"us of processor a row; equal to the last bit on {n_rows:,} rows")
    for name in ("rows a call", "as fitted", "turned", "ratio"):
        table.add_column(name, justify="right")
    for batch in _BATCHES:
        feeds = [
            turned._feed({name: values[start : start + batch] for name, values in columns.items()})
            for start in range(0, min(n_rows, _ROWS_A_ROUND) - batch + 1, batch)
        ]
        spent: dict[str, list[float]] = {"as fitted": [], "turned": []}
        for _ in range(options.rounds):
            for name, predictor in (("as fitted", fitted), ("turned", turned)):
                for feed in feeds:
                    started = time.thread_time()
                    predictor.run(feed)
                    spent[name].append((time.thread_time() - started) / batch * 1e6)
        slow, quick = (float(np.median(spent[name])) for name in ("as fitted", "turned"))
        table.add_row(f"{batch:,}", f"{slow:.1f}", f"{quick:.1f}", f"{quick / slow:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
