from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml
from tests.conftest import ROOT, Workspace
from tests.shown import run_shown, run_shown_alone, shown_block

import tabloop.artifacts.reference
import tabloop.cli.reference
import tabloop.config.reference
import tabloop.deployment.reference
from tabloop.artifacts import layout
from tabloop.deployment.openapi_document import describe_operations

# folders of a project that uses tabloop
NOT_OURS = {"artifacts", "runs", "reports", "candidates", "monitoring", "stream"}
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


def commands(page: str, mark: str = "run") -> list[str]:
    """The commands in the blocks marked to be run, in order."""
    found = re.findall(rf"<!-- {mark} -->\n((?:    .*\n|\n)+)", (ROOT / page).read_text())
    return [line.strip() for block in found for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("page", "render"),
    [
        ("configuration", tabloop.config.reference.render_reference),
        ("command-line", tabloop.cli.reference.render_reference),
        ("artifact-formats", tabloop.artifacts.reference.render_reference),
        ("http", tabloop.deployment.reference.render_reference),
    ],
)
def test_a_generated_page_is_what_the_code_says(page: str, render: Callable[[], str]) -> None:
    assert (ROOT / "docs" / f"{page}.md").read_text() == render(), "stale: run `make docs`"


def test_the_reference_holds_each_command_each_path_and_each_file() -> None:
    commands = (ROOT / "docs" / "command-line.md").read_text()
    for command in ("run", "data synthesize", "stream replay", "runs", "runs show"):
        assert f"## `tabloop {command}`\n" in commands
    assert "--allow-infeasible" in commands
    paths = (ROOT / "docs" / "http.md").read_text()
    for operation in describe_operations():
        assert re.search(rf"### `(GET|POST) {re.escape(operation)}`\n", paths)
    files = (ROOT / "docs" / "artifact-formats.md").read_text()
    for file in (layout.GATES, layout.DECISIONS, layout.CHANGED_DECISIONS):
        assert f"`{file}`" in files
    assert "| `promised_precision` | number or null | Holds with `confidence`" in files


def test_the_python_page_has_every_public_name() -> None:
    page = (ROOT / "docs" / "python-api.md").read_text()
    for name in set(tabloop.__all__) - {"TabloopError"}:
        assert re.search(rf"auto(function|class):: {name}\n", page), name
    assert "automodule:: tabloop.errors\n" in page


def test_every_setting_of_the_default_is_documented() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    settings = yaml.safe_load((ROOT / "config.yaml").read_text())
    for section, values in settings.items():
        for key in values if isinstance(values, dict) else ():
            if section not in ("contract", "data"):
                assert f"{section}.{key}" in page


def run_page(workspace: Workspace, page: str, *, after: str | None = None) -> None:
    for command in commands(page, f"run after {after}" if after else "run"):
        words = shlex.split(command)
        assert words[0] in ("tabloop", ".venv/bin/tabloop"), command
        outcome = workspace.run(*words[1:], environ=QUICK_RUN)
        assert outcome.code == 0, (command, outcome.err)


QUICK = "{logistic_regression: {}, decision_tree: {max_depth: 6}}"
QUICK_RUN = {
    "TABLOOP_TRAINING__CANDIDATES": QUICK,
    "TABLOOP_BENCHMARKING__IN_RUN": "none",
    "TABLOOP_CV__N_SPLITS": "3",
    "TABLOOP_RELEASE__LOAD_TEST_S": "0.3",
    "TABLOOP_RELEASE__MAX_WAIT_P99_MS": "60000.0",
}


def test_the_readme_runs(trained_copy: Workspace) -> None:
    assert len(commands("README.md")) >= 5
    run_page(trained_copy, "README.md")


@pytest.mark.soak  # trains the default's candidates on some rows
def test_the_python_of_the_readme_runs(
    tmp_path: Path, students: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in QUICK_RUN.items():
        monkeypatch.setenv(name, value)
    frame = students.head(2000).rename({"purchased": "churned"})
    with contextlib.chdir(tmp_path):
        names = {"frame": frame}
        exec(shown_block("README.md", "import tabloop as tl"), names)  # noqa: S102 - our own page
    assert (tmp_path / "artifacts" / "champion").exists()


def test_the_quickstart_runs_in_an_empty_folder(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    run_page(workspace, "docs/quickstart.md")


@pytest.mark.soak  # it trains three times
def test_the_python_page_runs_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    run_page(workspace, "docs/python.md")
    for name, value in QUICK_RUN.items():
        monkeypatch.setenv(name, value)
    assert run_shown("docs/python.md", "import polars as pl", tmp_path)[0].startswith("True 0.")
    run_page(workspace, "docs/python.md", after="python")
    said, _ = run_shown("docs/python.md", "import polars\nimport tabloop as tl\n\nproject", tmp_path)
    assert "False" in said
    run_shown("docs/python.md", "from sklearn.base import clone", tmp_path)
    _, names = run_shown("docs/python.md", "import pandas", tmp_path)
    assert list(names["reference"]) == list(names["current"])
    assert len(names["reference"]) > len(names["test"]) > 0


def test_the_chart_of_its_page_is_drawn(tmp_path: Path) -> None:
    run_shown("docs/charts.md", "from tabloop.charts.dots import Estimate", tmp_path)


def test_the_exported_model_runs_without_tabloop(trained_copy: Workspace) -> None:
    shown = run_shown_alone("docs/onnx.md", "import numpy as np, onnxruntime", trained_copy.folder)
    probability, decision = shown.split()
    assert 0 < float(probability) < 1
    assert decision in ("True", "False")
    shutil.copy(trained_copy.folder / "data" / "ml_datasource.csv", trained_copy.folder / "students.csv")
    run_page(trained_copy, "docs/onnx.md")


def test_contributing_names_targets_that_exist() -> None:
    named = re.findall(r"make (\w+)", (ROOT / "CONTRIBUTING.md").read_text())
    assert {"setup", "check", "test", "lock"} <= set(named)
    for target in set(named):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (target, done.stderr)


@pytest.mark.parametrize(
    ("there", "target", "lock"),
    [
        ([], "run", "requirements-run.lock"),
        ([".run"], "run", None),
        ([".run"], "test", "requirements-test.lock"),
        ([".tests"], "run", None),
        ([".tests"], "check", "requirements.lock"),
        ([".ready"], "test", None),
    ],
)
def test_a_target_installs_what_it_needs_and_no_more(
    tmp_path: Path, there: list[str], target: str, lock: str | None
) -> None:
    for name in ("Makefile", "pyproject.toml", *(path.name for path in ROOT.glob("requirements*.lock"))):
        shutil.copy(ROOT / name, tmp_path)
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".venv").mkdir()
    for stamp in there:
        (tmp_path / ".venv" / stamp).touch()
    done = subprocess.run(
        ["make", "-n", target], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    installed = re.findall(r"pip install .*--require-hashes -r requirements-build.lock -r (\S+) \|\|", done)
    assert installed == ([lock] if lock else [])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    pictures = re.findall(r'<img src="([^"]+)" width="\d+%"(?: align="top")? alt="[^"]+"', text)
    assert len(pictures) == text.count("<img ")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) + pictures:
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    """A path in code marks, seen from the package, the tests, or the repository."""
    places = (ROOT / "src" / "tabloop", ROOT / "src", ROOT)
    for path in re.findall(r"`((?:[a-z_0-9]+/)+(?:[a-z_0-9]+\.py)?)`", page.read_text()):
        if path.endswith(".py") or path.split("/")[0] not in NOT_OURS:
            assert any((place / path).exists() for place in places), path


def test_every_room_is_in_the_picture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    for room in (ROOT / "src" / "tabloop").iterdir():
        if (room / "__init__.py").exists():
            assert f"{room.name}/" in page, room.name


def test_every_make_target_is_in_its_help() -> None:
    text = (ROOT / "Makefile").read_text()
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("run", "test", "check", "setup", "help", "train", "reproduce", "clean"):
        assert f"make {target} " in shown
        assert re.search(rf"^{target}:", text, re.M)
