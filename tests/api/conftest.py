"""A folder in which the API made a champion of pandas rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tabloop as tl
from tests.conftest import SharedFolders

QUICK = {
    "training.candidates": {"logistic_regression": {}, "decision_tree": {}},
    "cv.n_splits": 3,
    "benchmarking.in_run": "none",
    "release.load_test_s": 0.1,
    "release.max_wait_p99_ms": 60_000.0,  # up to what else the machine does
}


def pandas_of(frame: pl.DataFrame) -> Any:
    """Build a pandas frame, its rows under names."""
    import pandas as pd

    index = [f"student {i}" for i in range(frame.height)]
    return pd.DataFrame({name: frame[name].to_list() for name in frame.columns}, index=index)


@dataclass(frozen=True)
class Made:
    """What `tl.run` made."""

    folder: Path
    frame: Any


@pytest.fixture(scope="session")
def made(shared_folders: SharedFolders, students: pl.DataFrame) -> Made:
    """A champion of two thousand students; tests read it only."""
    frame = pandas_of(students)

    def fill(folder: Path) -> None:
        config = tl.init(frame, target="purchased")
        config.update(QUICK)
        assert tl.run(frame, config, folder=folder / "artifacts").released

    return Made(shared_folders.made_once("api", fill) / "artifacts", frame)
