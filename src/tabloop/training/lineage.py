"""Write down what a run was made of, so that it can be checked and made again."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tabloop

FORMAT_VERSION = 1

#: Libraries that decide the numbers.
_LIBRARIES = ("joblib", "numpy", "polars", "scikit-learn", "scipy", "threadpoolctl")


def code_sha256() -> str:
    """Hash every source file of the installed package, names and contents, in order."""
    root = Path(tabloop.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def library_versions() -> dict[str, str]:
    """Look up the versions of Python and of the libraries that decide the numbers."""
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}


def build_lineage(
    *,
    run_id: str,
    seed: int,
    rows: dict[str, int],
    split: dict[str, Any],
    predictions: dict[str, str],
    sources: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Describe where a run comes from.

    Parameters
    ----------
    run_id : str
        The run.
    seed : int
        Fixed every random choice.
    rows : dict of str to int
        How many were read, quarantined, and went to the training and the test part.
    split : dict
        The rule and the size that tell again which rows are in the test part.
    predictions : dict of str to str
        SHA-256 of the winner's out-of-fold and test probabilities, as float64 in the order of the split.
    sources : dict of str to dict
        `path` (of a database, what tells its table from others) and `sha256` of dataset, config, contract,
        model and threshold.

    Returns
    -------
    lineage : dict
        JSON-ready.
    """
    return {
        "format_version": FORMAT_VERSION,
        "run_id": run_id,
        "seed": seed,
        "rows": rows,
        "split": split,
        "predictions_sha256": predictions,
        **sources,
        "code": {"package": "tabloop", "version": tabloop.__version__, "sha256": code_sha256()},
        "libraries": library_versions(),
        "platform": {"system": platform.system(), "machine": platform.machine()},
    }
