"""Compare two runs, setting by setting and figure by figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from tabloop.artifacts.layout import CONFIG
from tabloop.artifacts.run import RunFolder

_FIGURES = ("best_model_name", "roc_auc", "average_precision", "accuracy", "precision", "recall", "f1",
            "brier_score", "expected_calibration_error")  # fmt: skip
_PROMISE = ("objective", "threshold", "feasible", "precision_observed", "precision_lower_bound", "recall")


@dataclass(frozen=True)
class Difference:
    """What two runs hold under one name; None where one has nothing of that name."""

    first: object
    second: object


def compare_runs(first: RunFolder, second: RunFolder) -> dict[str, Difference]:
    """List what differs between two runs.

    Parameters
    ----------
    first, second : RunFolder
        Two runs whose training has finished.

    Returns
    -------
    differences : dict of str to Difference
        By name: settings as `config.<section>.<key>`, figures, rows, hashes of
        data and code, versions of libraries. Equal values are left out.
    """
    a, b = _flat_run(first), _flat_run(second)
    return {
        name: Difference(a.get(name), b.get(name))
        for name in dict.fromkeys([*a, *b])
        if a.get(name) != b.get(name)
    }


def _flat_run(run: RunFolder) -> dict[str, object]:
    metrics, lineage = run.metrics, run.lineage
    flat = _flatten("config", run.read_json(CONFIG))
    flat |= {f"rows.{name}": count for name, count in msgspec.structs.asdict(lineage.rows).items()}
    flat["dataset.sha256"] = lineage.dataset.sha256
    flat["code.sha256"] = lineage.code.sha256
    flat |= {f"libraries.{name}": found for name, found in lineage.libraries.items()}
    flat |= {name: getattr(metrics, name) for name in _FIGURES}
    flat |= {f"calibration.{name}": getattr(metrics.calibration, name) for name in _PROMISE}
    flat["calibration.promised"] = metrics.calibration.promise.promised
    for candidate in metrics.cv_ranking:
        flat[f"cv.{candidate.name}.roc_auc"] = candidate.roc_auc if candidate.failure is None else None
    return flat


def _flatten(name: str, value: Any) -> dict[str, object]:
    if not isinstance(value, dict):
        return {name: value}
    return {
        key: below
        for part, inner in value.items()
        for key, below in _flatten(f"{name}.{part}", inner).items()
    }
