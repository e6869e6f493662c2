"""The gates that a run passes before it goes live: each gives a verdict with its evidence."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tabloop.artifacts.run_folder import RunFolder
from tabloop.config.operations import ReleaseConfig


@dataclass(frozen=True)
class Gate:
    """One gate's verdict.

    Attributes
    ----------
    name : str
        The gate.
    passed : bool
        Its verdict.
    reason : str
        The verdict in words.
    evidence : dict
        The figures it rests on, JSON-ready.
    """

    name: str
    passed: bool
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Describe the gate as plain JSON values."""
        return asdict(self)


def judge(floors: ReleaseConfig, run: RunFolder) -> tuple[Gate, ...]:
    """Put a run through every gate.

    Parameters
    ----------
    floors : ReleaseConfig
        The config's `release` section.
    run : RunFolder
        Open, its training finished.

    Returns
    -------
    gates : tuple of Gate
        Where the hashes are wrong, nothing else is judged: there is nothing to trust.
    """
    hashes = judge_hashes(run)
    if not hashes.passed:
        return (hashes,)
    return hashes, judge_quality(floors, run)


def judge_hashes(run: RunFolder) -> Gate:
    """Check that every file of the run is the one that its stage wrote."""
    problems = run.check_hashes()
    return Gate(
        name="hashes",
        passed=not problems,
        reason="; ".join(problems) if problems else f"{len(run.files)} files are as they were written",
        evidence={"files": len(run.files), "problems": problems},
    )


def judge_quality(floors: ReleaseConfig, run: RunFolder) -> Gate:
    """Check that the figures on the test part reach the config's floors."""
    metrics = run.read_json("metrics.json")
    roc_auc, feasible = metrics["roc_auc"], metrics["calibration"]["feasible"]
    problems = []
    if not roc_auc >= floors.min_roc_auc:
        problems.append(
            f"test ROC-AUC is {roc_auc:.4f}, expected at least release.min_roc_auc = {floors.min_roc_auc:g}"
        )
    if floors.require_promise and not feasible:
        problems.append("the precision promise is infeasible and release.require_promise is true")
    said = f"test ROC-AUC {roc_auc:.4f} >= {floors.min_roc_auc:g}"
    return Gate(
        name="quality",
        passed=not problems,
        reason="; ".join(problems) if problems else said,
        evidence={"roc_auc": roc_auc, "min_roc_auc": floors.min_roc_auc, "promise_feasible": feasible,
                  "require_promise": floors.require_promise},
    )  # fmt: skip
