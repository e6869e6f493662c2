"""Further released runs of a project, made of the one that is there: nothing is trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx

from tabloop.artifacts.files import sha256_of_file
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore


def another_run(store: RunStore, *, self_test_shift: float = 0.0) -> RunFolder:
    """Copy the champion under a later name, as a run that passed its gates as well.

    Parameters
    ----------
    store : RunStore
        Takes it.
    self_test_shift : float, default=0.0
        Added to the recorded probabilities of its self-test: such a run does not do what was recorded.
    """
    champion = store.require_champion()
    later = f"{len(store.runs()):04d}"
    run_id = champion.run_id[:-4] + later
    path = store.runs_dir / run_id
    shutil.copytree(champion.path, path)
    for graph in path.rglob("*.onnx"):
        model = onnx.load(graph)
        for entry in model.metadata_props:
            if entry.key == "run_id":
                entry.value = run_id
        _write(graph, model.SerializeToString())
    self_test = json.loads((path / "self_test.json").read_bytes())
    self_test["probabilities"] = [p + self_test_shift for p in self_test["probabilities"]]
    _write(path / "self_test.json", json.dumps(self_test).encode())
    manifest = json.loads((path / "manifest.json").read_bytes())
    manifest["run_id"] = run_id
    for name, entry in manifest["files"].items():
        entry |= {"sha256": sha256_of_file(path / name), "bytes": (path / name).stat().st_size}
    _write(path / "manifest.json", json.dumps(manifest).encode())
    return RunFolder(path)


def _write(path: Path, content: bytes) -> None:
    path.unlink()  # a file with two names is one file
    path.write_bytes(content)
