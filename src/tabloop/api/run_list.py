"""The runs of a folder, as a frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from tabloop.api.frames import FrameKind, as_kind
from tabloop.artifacts.run_summary import RunSummary, select_runs, summarize_runs
from tabloop.artifacts.store import RunStore

_FIGURES = ("roc_auc", "average_precision", "brier_score", "precision", "recall", "f1", "threshold")
_SCHEMA: dict[str, type[pl.DataType]] = {
    "run_id": pl.String,
    "state": pl.String,
    "champion": pl.Boolean,
    "created_at": pl.String,
    "best_model_name": pl.String,
    **dict.fromkeys(_FIGURES, pl.Float64),
    "feasible": pl.Boolean,
    "size_bytes": pl.Int64,
    "tags": pl.String,
    "notes": pl.String,
    "path": pl.String,
    "problem": pl.String,
}


def runs(
    folder: str | Path = "artifacts",
    where: str | None = None,
    *,
    sort: str | None = None,
    kind: FrameKind = "polars",
) -> Any:
    """List the runs of a folder, the oldest first.

    Parameters
    ----------
    folder : path, default="artifacts"
        The artifact folder.
    where : str, optional
        The runs to list: a condition over the figures, the states, `champion`, `feasible`, `size_mb`,
        `age_days` and the tags, such as `"roc_auc > 0.95 and passed"`, in the contract's formula language.
    sort : str, optional
        The figure to sort by; a `-` before it puts the largest first.
    kind : {"polars", "pandas", "arrow"}, default="polars"
        The kind of frame to give.

    Returns
    -------
    runs : polars.DataFrame, or as `kind` says
        A row a run: its name and state, whether it is the champion, the winner and its figures on the test
        rows, what it takes on the disk, and what people say of it. A run that cannot be read says in
        `problem` what is wrong; it is listed only without `where`.

    Raises
    ------
    FormulaError
        If `where` cannot be read; the message shows where.

    Examples
    --------
    >>> runs("artifacts", "passed and roc_auc > 0.5", sort="-roc_auc")["state"].to_list()
    ['passed', 'passed']
    >>> runs("no_such_folder").height
    0
    """
    store = RunStore(Path(folder))
    rows = _rows(select_runs(summarize_runs(store), where, sort))
    if where is None:
        broken: list[dict[str, object]] = [{"problem": problem} for problem in store.broken_runs()]
        rows = broken + rows
    return as_kind(pl.DataFrame(rows, schema=_SCHEMA), kind)


def frame_of(summaries: Sequence[RunSummary], kind: FrameKind) -> Any:
    """Lay summaries out as a frame."""
    return as_kind(pl.DataFrame(_rows(summaries), schema=_SCHEMA), kind)


def _rows(summaries: Sequence[RunSummary]) -> list[dict[str, object]]:
    return [
        {name: getattr(each, name) for name in _SCHEMA}
        | {"path": str(each.path), "tags": ", ".join(each.tags), "notes": "\n".join(each.notes)}
        for each in summaries
    ]
