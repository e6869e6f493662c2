"""How many processors this process may use."""

from __future__ import annotations

import os


def cpu_count() -> int:
    """Count the cores this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
