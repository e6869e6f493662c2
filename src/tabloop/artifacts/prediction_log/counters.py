"""What a writer of the prediction log counts, for `/health` and `/metrics`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class LogCounters:
    """What a writer did since it was made.

    Attributes
    ----------
    written_rows : int
        Rows handed to the kernel; with durability `memory` also those waiting.
    dropped_rows : int
        Rows answered and not logged, by policy `drop`.
    refused_rows : int
        Rows that were not logged and raised `LogUnwritableError`.
    repaired_fragments : int
        Torn last lines that were mended or cut off.
    rotations : int
        New files begun.
    syncs : int
        Calls of fdatasync that served a group of batches.
    unsynced_batches : int
        Batches answered though the disk refused to sync them, by policy `drop`.
    """

    written_rows: int = 0
    dropped_rows: int = 0
    refused_rows: int = 0
    repaired_fragments: int = 0
    rotations: int = 0
    syncs: int = 0
    unsynced_batches: int = 0
