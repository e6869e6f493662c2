"""What `tradeoffs.json` holds: which variants are worth having, and which another beats all in all."""

from __future__ import annotations

from typing import Literal

import msgspec

from tabloop.artifacts.documents.benchmark import KIND_NAMES, Figure, Kind, Omission

Direction = Literal["lower", "higher"]

#: What is traded, and which way is better.
OBJECTIVES: dict[str, Direction] = {
    "p99_ms": "lower",
    "samples_per_s": "higher",
    "roc_auc": "higher",
    "file_bytes": "lower",
}


class TradeoffPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One variant at the headline batch size.

    Attributes
    ----------
    candidate, kind : str
        The variant's candidate and kind.
    is_winner : bool
        Whether training chose the candidate.
    p99_ms, samples_per_s, roc_auc : Figure
        Measured, with intervals.
    file_bytes : int
        Size of the model's file.
    dominated_by : tuple of str
        Variants that are at least as good in all four and better in one; empty on the frontier.
    surely_dominated : bool
        Whether one of those stays so with every speed at the end of its interval that favours this
        variant; otherwise another benchmark may see this variant on the frontier.
    on_frontier : bool
        Whether no other variant is better all in all.
    """

    candidate: str
    kind: Kind
    is_winner: bool
    p99_ms: Figure
    samples_per_s: Figure
    roc_auc: Figure
    file_bytes: int
    dominated_by: tuple[str, ...]
    surely_dominated: bool
    on_frontier: bool

    @property
    def name(self) -> str:
        """The variant for people."""
        return f"{self.candidate}, {KIND_NAMES[self.kind]}"


class TradeoffReport(msgspec.Struct, frozen=True, kw_only=True):
    """The variants and the frontier among them.

    Attributes
    ----------
    batch_size : int
        The headline batch size of the benchmark.
    mode : {"quick", "full"}
        The benchmark's mode.
    confidence : float
        The confidence level of all intervals.
    points : tuple of TradeoffPoint
        The best ROC-AUC first.
    omissions : tuple of Omission
        Variants that are not there, and why.
    objectives : dict of str to {"lower", "higher"}
        What is traded, and which way is better.
    """

    batch_size: int
    mode: Literal["quick", "full"]
    confidence: float
    points: tuple[TradeoffPoint, ...]
    omissions: tuple[Omission, ...] = ()
    objectives: dict[str, Direction] = msgspec.field(default_factory=OBJECTIVES.copy)
    format_version: Literal[1] = 1

    @property
    def frontier(self) -> tuple[TradeoffPoint, ...]:
        """The variants that none other dominates."""
        return tuple(point for point in self.points if point.on_frontier)
