"""The verdict of one gate."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


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
