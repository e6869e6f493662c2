"""SciPy's special functions, loaded by whoever computes with one first."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def special() -> Any:
    """Give the module `scipy.special`.

    Loading it takes as long as loading everything else in the monitor's process, which starts with each
    service and judges nothing before there are enough rows.

    Examples
    --------
    >>> float(special().ndtri(0.5))
    0.0
    """
    import scipy.special

    return scipy.special
