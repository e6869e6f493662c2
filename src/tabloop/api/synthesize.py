"""Students of an e-learning platform that never lived, to try things on."""

from __future__ import annotations

from typing import Any

import polars as pl

from tabloop.api.frames import FrameKind, as_kind
from tabloop.data.students import generate_students


def synthesize(rows: int, *, seed: int = 42, kind: FrameKind = "polars") -> Any:
    """Make synthetic students of an e-learning platform; the same seed makes the same students.

    Parameters
    ----------
    rows : int
        The number of rows, at least 1.
    seed : int, default=42
        Fixes the students.
    kind : {"polars", "pandas", "arrow"}, default="polars"
        The kind of frame to give.

    Returns
    -------
    students : frame with `rows` rows
        The columns of the bundled default, with the target `purchased`.

    Raises
    ------
    DataError
        If an argument is out of its range.

    Examples
    --------
    >>> synthesize(3).columns[:2]
    ['student_country', 'days_on_platform']
    """
    return as_kind(pl.concat(generate_students(rows, seed)), kind)
