"""What `gates.json` holds: the verdict of every gate with its evidence."""

from __future__ import annotations

import math
from typing import Any

import msgspec


class Gate(msgspec.Struct, frozen=True):
    """One gate's verdict.

    Attributes
    ----------
    name : str
        The gate.
    passed : bool
        Whether the gate lets the run through.
    reason : str
        The verdict in words.
    evidence : dict
        The figures it rests on, JSON-ready.
    """

    name: str
    passed: bool
    reason: str
    evidence: dict[str, Any] = msgspec.field(default_factory=dict)


class Gates(msgspec.Struct, frozen=True):
    """The verdict on a run.

    Attributes
    ----------
    passed : bool
        Whether every gate did.
    gates : tuple of Gate
        Each verdict.
    """

    passed: bool
    gates: tuple[Gate, ...]


def evidence_number(value: float) -> float | str:
    """Give a number as evidence holds it: JSON has no infinity.

    Examples
    --------
    >>> evidence_number(0.5), evidence_number(float("inf"))
    (0.5, 'inf')
    """
    return value if math.isfinite(value) else str(value)
