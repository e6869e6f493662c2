"""What the tests share: the default contract, small projects, the real data where it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from tabloop.config.loading import Project, load_project
from tabloop.contract.contract import Contract

ROOT = Path(__file__).parents[1]

#: Quick to train, still of three kinds: probabilities, decision values, trees.
QUICK_CANDIDATES = {
    "logistic_regression": {},
    "svm": {},
    "random_forest": {"n_estimators": 20},
}


@pytest.fixture(scope="session")
def default_project() -> Project:
    """The bundled config.yaml."""
    return load_project(ROOT / "config.yaml", environ={})


@pytest.fixture(scope="session")
def contract(default_project: Project) -> Contract:
    """The contract of the students."""
    return default_project.contract


@pytest.fixture(scope="session")
def students(contract: Contract) -> pl.DataFrame:
    """Two thousand of the bundled students, typed."""
    from tabloop.data.dataset import read_dataset

    project = load_project(ROOT / "config.yaml", environ={})
    return read_dataset(project.config.data, contract, project.folder).frame.head(2000)


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Workspace:
    """A folder with a config.yaml, as a user has it."""

    folder: Path

    @property
    def config_path(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def model_dir(self) -> Path:
        return self.folder / "artifacts"

    def settings(self) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.safe_load(self.config_path.read_text())
        return loaded

    def change(self, **sections: dict[str, Any]) -> None:
        """Change settings in the file, section by section."""
        settings = self.settings()
        for name, values in sections.items():
            settings.setdefault(name, {}).update(values)
        self.config_path.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))

    def project(self, *overrides: str) -> Project:
        return load_project(self.config_path, overrides=overrides, environ={})

    def run(self, *arguments: str, environ: dict[str, str] | None = None) -> Outcome:
        """Run the real command in this folder, in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-c", "from tabloop.cli import main; main()", *arguments],
            cwd=self.folder,
            env=os.environ | (environ or {}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def workspace(tmp_path: Path, students: pl.DataFrame) -> Workspace:
    """The students' config with two thousand rows and quick candidates."""
    return make_workspace(tmp_path, students)


def make_workspace(folder: Path, rows: pl.DataFrame) -> Workspace:
    settings = yaml.safe_load((ROOT / "config.yaml").read_text())
    settings["training"]["candidates"] = QUICK_CANDIDATES
    settings["cv"] = {"n_splits": 3}
    settings["benchmarking"] = {"in_run": "none"}  # its own tests measure
    settings["release"]["load_test_s"] = 0.3
    (folder / "data").mkdir()
    rows.write_csv(folder / "data" / "ml_datasource.csv")
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return Workspace(folder)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, students: pl.DataFrame) -> Workspace:
    """A workspace in which `tabloop run` has been done once; tests must not change it."""
    workspace = make_workspace(tmp_path_factory.mktemp("trained"), students)
    outcome = workspace.run("run", "--json")
    assert outcome.code == 0, outcome.err
    return workspace


class QuietProgress:
    """A `tabloop.progress.Progress` that draws nothing."""

    def step(self, text: str) -> None: ...

    def fraction(self, fraction: float) -> None: ...

    def tasks(self, state: Any) -> None: ...


@pytest.fixture
def quiet() -> QuietProgress:
    return QuietProgress()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real table; `TABLOOP_REAL_DATA` names its folder."""
    folder = os.environ.get("TABLOOP_REAL_DATA")
    path = Path(folder or "nowhere") / "ml_datasource.csv"
    if not path.is_file():
        if os.environ.get("TABLOOP_REQUIRE_SERVICES") == "1":
            pytest.fail("TABLOOP_REAL_DATA does not lead to ml_datasource.csv")
        pytest.skip("TABLOOP_REAL_DATA is not set")
    return path


Change = Callable[[pl.DataFrame], pl.DataFrame]
