"""A champion with traffic and outcomes; each test works on a copy."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.conftest import ROOT, QuietProgress, SharedFolders, Workspace, make_workspace
from tests.retraining.retraining_kit import Live

from tabloop.lifecycle.run_all import run_all

#: Reference rows; the others are traffic.
REFERENCE_ROWS = 1_600


@pytest.fixture(scope="session")
def every_student() -> pl.DataFrame:
    """All bundled students, typed."""
    rows = pl.read_csv(ROOT / "data" / "ml_datasource.csv", infer_schema_length=None)
    return rows.with_columns(pl.col("purchased").cast(pl.Int8))


@pytest.fixture(scope="session")
def traffic(every_student: pl.DataFrame) -> pl.DataFrame:
    """Students of whom no training row is."""
    reference = every_student[:REFERENCE_ROWS]
    return every_student[REFERENCE_ROWS:].join(reference, on=reference.columns, how="anti")


@pytest.fixture(scope="session")
def live(shared_folders: SharedFolders, every_student: pl.DataFrame, traffic: pl.DataFrame) -> Live:
    """A champion that can be beaten, 1,500 answers of it and their outcomes; tests must not change it.

    The champion is a tree of one split, the config then asks for a logistic regression.
    """

    def fill(folder: Path) -> None:
        workspace = make_workspace(folder, every_student[:REFERENCE_ROWS])
        workspace.change(
            training={"candidates": {"decision_tree": {"max_depth": 1}}, "keep": "winner"},
            monitoring={"reference_rows": 500},
            # of so few rows the bounds are wide
            release={"load_test_s": 0.1, "roc_auc_margin": 0.02, "brier_margin": 0.02},
            retraining={"fresh_margin": 0.05},
        )
        _, decision = run_all(workspace.project(), QuietProgress())
        assert decision.promoted, decision
        workspace.change(training={"candidates": {"logistic_regression": {}}})
        Live(workspace).serve_and_tell(traffic[:1_500])

    return Live(Workspace(shared_folders.made_once("live", fill)))
