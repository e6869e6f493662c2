"""A real notebook, its cells run by a kernel on a running event loop: from a pandas frame to decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbclient
import nbformat
import polars as pl
import pytest

from tabloop.data.students import generate_students
from tests.api.conftest import QUICK, pandas_of

_CELLS = (
    "import pandas as pd\nimport tabloop as tl\nframe = pd.read_pickle('rows.pickle')",
    "config = tl.init(frame, target='purchased')\nconfig.update({changes!r})\nconfig",
    "run = tl.run(frame, config)\nrun",
    "run.card",
    "model = tl.load('artifacts')\nmodel",
    "decisions = model.decide(frame)\nassert decisions.index.equals(frame.index)\nlen(decisions)",
    "project = tl.Project('artifacts', kind='pandas')\nservice = project.serve()\nservice",
    "served = service.predict(frame.head(600))\n"
    "assert (served.iloc[:, :2] == decisions.head(600)).all(axis=None)\nlen(served)",
    "outcomes = served[['prediction_id']].assign(label=frame['purchased'].head(600).to_list())\n"
    "project.feedback_import(outcomes).count.new",
    "service.stop()\nproject.monitor()",
)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_from_a_frame_to_a_monitored_service_in_a_notebook(students: pl.DataFrame, tmp_path: Path) -> None:
    shown = work_through(pandas_of(students), QUICK, tmp_path)
    config, run, card, model, decided, service, served, known, report = (out[-1] for out in shown[1:])
    assert "student_country" in config["text/html"]
    assert "passed" in run["text/html"]
    assert card["text/markdown"].startswith("#")
    assert "student_country" in model["text/html"]
    assert decided["text/plain"] == str(students.height)
    assert "http://127.0.0.1" in service["text/html"]
    assert served["text/plain"] == known["text/plain"] == "600"
    assert "z-score" in report["text/html"]
    assert "" in [output.get("text/html") for output in shown[2]]  # the bar, gone at the end
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "rows.pickle"]


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_fifty_thousand_rows_in_a_notebook(tmp_path: Path) -> None:
    rows = pl.concat(generate_students(50_000, seed=1))
    shown = work_through(pandas_of(rows), {}, tmp_path)
    assert "passed" in shown[2][-1]["text/html"]
    assert shown[5][-1]["text/plain"] == "50000"


def work_through(frame: Any, changes: dict[str, Any], folder: Path) -> list[list[dict[str, Any]]]:
    """Run the cells in a kernel, on its running event loop; give what each of them showed."""
    frame.to_pickle(folder / "rows.pickle")
    v4: Any = nbformat.v4
    cells = [v4.new_code_cell(cell.replace("{changes!r}", repr(changes))) for cell in _CELLS]
    notebook = v4.new_notebook(cells=cells)
    nbclient.NotebookClient(
        notebook, timeout=3600, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    return [[output.get("data", {}) for output in cell.outputs] for cell in notebook.cells]
