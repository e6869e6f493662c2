"""A real notebook, its cells run by a kernel on a running event loop: from a pandas frame to decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbclient
import nbformat
import polars as pl
import pytest

from tests.api.conftest import QUICK, pandas_of

_CELLS = (
    "import pandas as pd\nimport tabloop as tl\nframe = pd.read_pickle('rows.pickle')",
    f"config = tl.init(frame, target='purchased')\nconfig.update({QUICK!r})\nconfig",
    "run = tl.run(frame, config)\nrun",
    "run.card",
    "model = tl.load('artifacts')\nmodel",
    "decisions = model.decide(frame)\nassert decisions.index.equals(frame.index)\nlen(decisions)",
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_from_a_frame_to_decisions_in_a_notebook(students: pl.DataFrame, tmp_path: Path) -> None:
    pandas_of(students).to_pickle(tmp_path / "rows.pickle")
    v4: Any = nbformat.v4
    notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in _CELLS])

    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()

    shown = [[output.get("data", {}) for output in cell.outputs] for cell in notebook.cells]
    config, run, card, model, decided = (outputs[-1] for outputs in shown[1:])
    assert "student_country" in config["text/html"]
    assert "passed" in run["text/html"]
    assert card["text/markdown"].startswith("#")
    assert "student_country" in model["text/html"]
    assert decided["text/plain"] == str(students.height)
    assert "" in [output.get("text/html") for output in shown[2]]  # the bar, gone at the end
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "rows.pickle"]
