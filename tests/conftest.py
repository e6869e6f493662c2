"""What the tests share: the default contract, small projects, the real data where it is."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hypothesis
import polars as pl
import pytest
import yaml

from tabloop.cli import main
from tabloop.config.loading import Project, load_project
from tabloop.contract.contract import Contract

ROOT = Path(__file__).parents[1]

# How long an example takes says how busy the machine is. `make soak` tries more of them.
EXAMPLES = {"few": 50, "many": 300}
for profile, max_examples in EXAMPLES.items():
    hypothesis.settings.register_profile(profile, deadline=None, max_examples=max_examples)
hypothesis.settings.load_profile(os.environ.get("TABLOOP_TEST_EXAMPLES", "few"))

#: Quick to train, still of three kinds: probabilities, decision values, trees.
QUICK_CANDIDATES = {
    "logistic_regression": {},
    "svm": {},
    "random_forest": {"n_estimators": 20},
}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Keep BLAS and OpenMP of the testing processes to one thread.

    Several of them share the cores, and threads that wait for each other do so busily. Processes that the
    tests start decide for themselves.
    """
    if "sklearn" not in sys.modules:  # no collected test computes with it
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session", autouse=True)
def few_drift_windows() -> Iterator[None]:
    """Play a twentieth of the windows through for a run's table of drift alarms, and few rows of few for limits.

    They would take more than half of a small training or release. `tests/drift` takes all of them, and so do
    the processes that tests start. Quantisation is timed for its least rounds.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tabloop.drift.operating_table._QUIET_WINDOWS", 100)
        patch.setattr("tabloop.drift.operating_table._SHIFTED_WINDOWS", 10)
        patch.setattr("tabloop.drift.limits._WINDOWS_PER_ALARM", 10)
        patch.setattr("tabloop.drift.limits._LEAST_WINDOWS", 500)
        patch.setattr("tabloop.drift.limits._MOST_DRAWN_ROWS", 500)
        patch.setattr("tabloop.optimization.int8.report.TIMED_S", 0.0)
        yield


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

    def copy(self, folder: Path) -> Workspace:
        """Copy everything to a folder that does not exist yet; about a megabyte, in milliseconds."""
        return Workspace(shutil.copytree(self.folder, folder, symlinks=True))

    def project(self, *overrides: str) -> Project:
        return load_project(self.config_path, overrides=overrides, environ={})

    def run(self, *arguments: str, environ: dict[str, str] | None = None) -> Outcome:
        """Run a command in this folder and in this process: nothing is started or imported again.

        What the operating system sees (signals, what a library writes to the descriptors, which modules
        were loaded) is the business of `run_process`.
        """
        out, err = io.StringIO(), io.StringIO()
        with contextlib.ExitStack() as around:
            patch = around.enter_context(pytest.MonkeyPatch.context())
            patch.chdir(self.folder)
            for name, value in (environ or {}).items():
                patch.setenv(name, value)
            around.enter_context(contextlib.redirect_stdout(out))
            around.enter_context(contextlib.redirect_stderr(err))
            ended = around.enter_context(pytest.raises(SystemExit))
            main(arguments)
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, out.getvalue(), err.getvalue())

    def run_process(self, *arguments: str, environ: dict[str, str] | None = None) -> Outcome:
        """Run the real command in this folder, in a process of its own; it takes a second or two longer."""
        done = subprocess.run(
            [sys.executable, "-c", "from tabloop.cli import main; main()", *arguments],
            cwd=self.folder,
            env=os.environ | (environ or {}),
            capture_output=True,
            text=True,
            timeout=900,  # of a machine that does much else
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def workspace(tmp_path: Path, students: pl.DataFrame) -> Workspace:
    """The students' config with two thousand rows and quick candidates; nothing has run."""
    return make_workspace(tmp_path, students)


def make_workspace(folder: Path, rows: pl.DataFrame) -> Workspace:
    settings = yaml.safe_load((ROOT / "config.yaml").read_text())
    settings["training"]["candidates"] = QUICK_CANDIDATES
    settings["cv"] = {"n_splits": 3}
    settings["benchmarking"] = {"in_run": "none", "repeated_runs": 3}  # its own tests measure
    # how long rows wait is up to what else the machine does; the gate's own tests ask
    settings["release"] |= {"load_test_s": 0.1, "max_wait_p99_ms": 60_000.0}
    (folder / "data").mkdir()
    rows.write_csv(folder / "data" / "ml_datasource.csv")
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return Workspace(folder)


@dataclass(frozen=True)
class SharedFolders:
    """Folders that are expensive to fill, each filled once for all processes that run the tests."""

    base: Path

    def made_once(self, name: str, fill: Callable[[Path], object]) -> Path:
        """Give the folder of this name; the first to ask, in whichever process, fills it.

        Parameters
        ----------
        name : str
            Of the folder; whoever asks for the same name must fill it in the same way.
        fill : callable
            Given the empty folder. If it fails, the next to ask tries again.

        Returns
        -------
        folder : Path
            Read it or copy it; never change it: other tests have it too.
        """
        folder, filled = self.base / name, self.base / f"{name}.filled"
        with (self.base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not filled.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                filled.touch()
        return folder


@pytest.fixture(scope="session")
def shared_folders(tmp_path_factory: pytest.TempPathFactory) -> SharedFolders:
    """Folders made once for the whole session, whichever of pytest-xdist's workers needs them first."""
    base = tmp_path_factory.getbasetemp()
    return SharedFolders(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)


@pytest.fixture(scope="session")
def trained(shared_folders: SharedFolders, students: pl.DataFrame) -> Workspace:
    """A workspace in which `tabloop run` made a champion of the students; tests must not change it.

    It is made once in a session and shared by all workers. A test that changes anything takes `trained_copy`.
    """

    def fill(folder: Path) -> None:
        (folder / "project").mkdir()
        outcome = make_workspace(folder / "project", students).run("run", "--json")
        assert outcome.code == 0, outcome.err
        (folder / "outcome.json").write_text(json.dumps(asdict(outcome)))

    return Workspace(shared_folders.made_once("trained", fill) / "project")


@pytest.fixture(scope="session")
def trained_outcome(trained: Workspace) -> Outcome:
    """What the command wrote that made `trained`."""
    return Outcome(**json.loads((trained.folder.parent / "outcome.json").read_text()))


@pytest.fixture
def trained_copy(trained: Workspace, tmp_path: Path) -> Workspace:
    """A copy of `trained` for one test, to do with as it likes."""
    return trained.copy(tmp_path / "project")


@pytest.fixture(scope="session")
def ready(shared_folders: SharedFolders, students: pl.DataFrame) -> Workspace:
    """A workspace whose only run is trained, exported, quantised and checked, but not released.

    Made once in a session and shared by all workers: tests copy it (`ready.copy(tmp_path / "p")`).
    """

    def fill(folder: Path) -> None:
        workspace = make_workspace(folder, students)
        for command in ("train", "export", "quantize", "parity"):
            outcome = workspace.run(command)
            assert outcome.code == 0, outcome.err

    return Workspace(shared_folders.made_once("ready", fill))


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
