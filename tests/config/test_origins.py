from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import Workspace

from tabloop.config.origins import load_origins, origin_of

TEXT = """\
seed: 1
data:
  source: &source
    kind: csv
    path: a.csv
  target:
    {name: bought}
contract: {columns: {days: {type: integer}}}
training:
  candidates:
    svm: {C: 2.0}
"""


def test_each_value_has_its_origin(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(TEXT)
    origins = load_origins(
        path,
        ["training.candidates={random_forest: {n_estimators: 9}}", "cv.n_splits=3"],
        {"TABLOOP_SEED": "7", "TABLOOP_CV__N_SPLITS": "4"},
    )
    expected = {
        "seed": "TABLOOP_SEED",
        "data.source.kind": f"{path}:4",
        "data.source.separator": "default",
        "data.target.name": f"{path}:7",
        "contract.columns.days.type": f"{path}:8",
        "training.candidates.svm.C": "default",
        "training.candidates.random_forest.n_estimators": "--set",
        "training.candidates.random_forest.max_depth": "default",
        "cv.n_splits": "--set",
    }
    assert {name: origin_of(tuple(name.split(".")), origins) for name in expected} == expected


def test_what_is_merged_in_stands_where_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: &b\n  c: 1\n  d: 2\ne:\n  <<: *b\n  d: 3\n")
    origins = load_origins(path, (), {})
    assert {key: origin.rpartition(":")[2] for key, origin in origins.items()} == {
        ("a", "c"): "2", ("a", "d"): "3", ("e", "c"): "2", ("e", "d"): "6",
    }  # fmt: skip


def test_the_command_shows_all_that_is_in_force(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = workspace.run("config", "show", "--origin", "--json", "--set", "seed=5")
    assert shown.code == 0, shown.err
    found = json.loads(shown.out)
    assert found["seed"] == {"value": 5, "origin": "--set"}
    assert found["release.min_roc_auc"]["value"] is not None
    assert found["data.source.kind"]["origin"].startswith("config.yaml:")
    lines = workspace.run("config", "show", "--origin").out.splitlines()
    assert len(lines) == len(found)
    assert any(line.split() == ["scoring.extra_columns", "default", "pass"] for line in lines)
