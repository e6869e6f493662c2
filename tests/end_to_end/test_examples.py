"""The scripts in examples/ run, one after the other in the folder that the first leaves, and say what is so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, SharedFolders
from tests.publishing.conftest import mlflow_server as mlflow_server

EXAMPLES = ROOT / "examples"
_LONGEST = 60
#: What each has to say, besides ending well.
SAID = {
    "own_table.py": r"left out: \['id', 'joined'\]\n\n2 of 21 rows refused: \{.*'visits: range': 1",
    "batch.py": r"3,000 rows scored, 0 refused",
    "explain.py": r"the first row owes most to \w+: [+-]\d",
    "streams.py": r"22 events, 20 decisions",
}


def run_example(name: str, folder: Path, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=folder, env=os.environ | environ, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def begun(shared_folders: SharedFolders) -> Path:
    """The folder that `first_model.py` leaves; copied, never changed."""

    def fill(folder: Path) -> None:
        (folder / "try").mkdir()
        (folder / "said.txt").write_text(run_example("first_model.py", folder / "try"))

    return shared_folders.made_once("examples", fill)


@pytest.fixture
def folder(begun: Path, tmp_path: Path) -> Path:
    return shutil.copytree(begun / "try", tmp_path / "try", symlinks=True)


def test_each_is_short_listed_and_run() -> None:
    named = set(re.findall(r"\]\(([\w.]+)\)", (EXAMPLES / "README.md").read_text()))
    assert named == {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")}
    tested = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) <= _LONGEST, path.name
        assert f'"{path.name}"' in tested, path.name


@pytest.mark.soak
def test_the_first_releases_a_model(begun: Path) -> None:
    said = (begun / "said.txt").read_text()
    assert re.search(r"released: True, ROC-AUC on rows it never saw: 0\.9", said)
    assert "predicted_purchased" in said


@pytest.mark.soak
@pytest.mark.parametrize("name", SAID)
def test_an_example_runs(name: str, folder: Path) -> None:
    assert re.search(SAID[name], run_example(name, folder))


@pytest.mark.soak
def test_drift_is_told_and_a_challenger_is_judged(folder: Path) -> None:
    said = run_example("drift_and_retraining.py", folder)
    assert "outcomes taken: 2000" in said
    assert re.search(r"windows in which a test alarmed: [12]\n", said)
    assert re.search(r"(passed |REFUSED) fresh_rows - ", said)


@pytest.mark.soak
def test_the_notebook_runs(folder: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all("text/html" in cell.outputs[-1]["data"] for cell in cells)


@pytest.mark.soak
def test_the_champion_on_mlflow_gives_the_same_answers(folder: Path, mlflow_server: str) -> None:
    said = run_example("mlflow_tracking.py", folder, MLFLOW_TRACKING_URI=mlflow_server)
    assert "the same answers: True" in said
