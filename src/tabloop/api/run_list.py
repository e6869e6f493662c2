"""The runs of a folder, as a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from tabloop.api.frames import FrameKind, as_kind
from tabloop.artifacts.layout import METRICS
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.errors import TabloopError

_FIGURES = ("roc_auc", "average_precision", "brier_score", "precision", "recall", "f1")
_SCHEMA: dict[str, Any] = {
    "run_id": pl.String,
    "state": pl.String,
    "champion": pl.Boolean,
    "created_at": pl.String,
    "best_model_name": pl.String,
    **dict.fromkeys(_FIGURES, pl.Float64),
    "size_bytes": pl.Int64,
    "path": pl.String,
    "problem": pl.String,
}


def runs(folder: str | Path = "artifacts", *, kind: FrameKind = "polars") -> Any:
    """List the runs of a folder, the oldest first: sort and filter them as any frame.

    Parameters
    ----------
    folder : path, default="artifacts"
        The artifact folder.
    kind : {"polars", "pandas", "arrow"}, default="polars"
        Of the frame.

    Returns
    -------
    runs : polars.DataFrame, or as `kind` says
        A row a run: its name and state, whether it is the champion, the winner and its figures on the test
        rows, what it takes on the disk. A run that cannot be read says in `problem` what is wrong.

    Examples
    --------
    >>> runs("no_such_folder").height
    0
    """
    store = RunStore(Path(folder))
    champion = store.champion_name()
    rows: list[dict[str, Any]] = [{"problem": problem} for problem in store.broken_runs()]
    rows += [_describe(each) | {"champion": each.run_id == champion} for each in store.runs()]
    return as_kind(pl.DataFrame(rows, schema=_SCHEMA), kind)


def _describe(run: RunFolder) -> dict[str, Any]:
    described = {
        "run_id": run.run_id,
        "state": run.state,
        "created_at": run.created_at,
        "size_bytes": run.size_bytes,
        "path": str(run.path),
    }
    if not run.has(METRICS):
        return described
    try:
        metrics = run.metrics
    except TabloopError as error:
        return described | {"problem": str(error)}
    return described | {name: getattr(metrics, name) for name in ("best_model_name", *_FIGURES)}
