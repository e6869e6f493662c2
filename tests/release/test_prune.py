"""Runs that go by a rule, and those that stay whatever the rule; see also `test_gates.py`."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Workspace

from tabloop.artifacts.documents.gates import Gates
from tabloop.artifacts.run_notes import NoteBook
from tabloop.artifacts.store import RunStore
from tabloop.release.prune import PruningRule, plan_pruning, prune_by_rule


def test_only_what_the_whole_rule_lets_go_and_nobody_needs(workspace: Workspace) -> None:
    store = RunStore(workspace.model_dir)
    runs = [store.create() for _ in range(6)]
    for run, verdict in zip(runs[:5], ("refused", "refused", "passed", "passed", "refused"), strict=True):
        run.write("x.txt", run.run_id.encode())
        run.seal(verdict, Gates(verdict == "passed", ()))  # type: ignore[arg-type]
    kept_by_tag, _, champion, pointed, _, still_open = runs
    store.promote(champion)
    (workspace.model_dir / "staging").symlink_to(Path("runs") / pointed.run_id)
    NoteBook(workspace.model_dir).tag(kept_by_tag.run_id, ["keep"])

    def planned(*rule: object) -> list[int]:
        names = [each.run_id for each in plan_pruning(store, PruningRule(*rule))]  # type: ignore[arg-type]
        return [i for i, run in enumerate(runs) if run.run_id in names]

    assert planned() == planned(None, 0) == planned("refused") == planned("refused", 0, 0.0) == [1, 4]
    assert planned(None, 1) == [1]
    assert planned("passed") == planned(None, None, 1.0) == []
    project = workspace.project()
    assert PruningRule().with_default(project.config) == PruningRule(keep=20)
    removed = prune_by_rule(store, PruningRule(keep=1), project.config)
    assert [each.run_id for each in removed] == [runs[1].run_id]
    assert not runs[1].path.exists()
    assert still_open.path.exists()
    assert [d["run_id"] for d in store.decisions() if d["decision"] == "pruned"] == [runs[1].run_id]
