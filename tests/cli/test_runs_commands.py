from __future__ import annotations

import json

from tests.conftest import Workspace


def test_runs_are_chosen_noted_tagged_and_pruned(trained_copy: Workspace) -> None:
    (run,) = json.loads(trained_copy.run("runs", "--json").out)["runs"]
    name = run["run_id"]
    assert trained_copy.run("runs", "note", name, "before the change").code == 0
    tagged = json.loads(trained_copy.run("runs", "tag", name, "baseline", "--json").out)
    assert tagged == {"run_id": name, "tags": ["baseline"], "notes": ["before the change"]}
    (found,) = json.loads(trained_copy.run("runs", "--where", "baseline and passed", "--json").out)["runs"]
    assert found["run_id"] == name
    assert (
        "none of the 1 runs" in trained_copy.run("runs", "--where", "roc_auc > 1", "--sort", "-roc_auc").out
    )
    wrong = trained_copy.run("runs", "--where", "roc_au > 1")
    assert wrong.code == 2
    assert "did you mean roc_auc" in wrong.err
    assert "before the change" in trained_copy.run("runs", "show").out
    planned = json.loads(trained_copy.run("runs", "prune", "--keep", "0", "--json").out)
    assert planned == {"removed": False, "runs": []}
    assert "0 of 1 runs, 0.0 MB would go" in trained_copy.run("runs", "prune", "--keep", "0").out
