"""What the types with a minimum and a maximum share."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tabloop.contract.columns.column import ColumnProblem, Refusal

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

#: Small round numbers, some of which lie within most ranges.
ROUND_NUMBERS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)


def require_range(minimum: Any, maximum: Any) -> None:
    """Raise `ValueError` where the range holds no value."""
    if minimum is not None and maximum is not None and minimum > maximum:
        raise ValueError(f"minimum {minimum} is above maximum {maximum}")


def limit_text(limit: datetime | float) -> str:
    """Write the end of a range for a message.

    Examples
    --------
    >>> limit_text(10_000_000), limit_text(0.5)
    ('10000000', '0.5')
    """
    if isinstance(limit, datetime):
        return limit.isoformat()
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def range_refusals(minimum: Any, maximum: Any) -> tuple[Refusal, Refusal]:
    """Make the refusal of a value below a range, and that of a value above it."""
    return (
        Refusal("range", f"at least {'' if minimum is None else limit_text(minimum)}"),
        Refusal("range", f"at most {'' if maximum is None else limit_text(maximum)}"),
    )


def range_problems(name: str, parsed: pl.Series, minimum: Any, maximum: Any) -> list[ColumnProblem]:
    """Find the values of a table's column that are outside a range."""
    too_small, too_large = range_refusals(minimum, maximum)
    problems = []
    for limit, refusal, outside in (
        (minimum, too_small, parsed.__lt__),
        (maximum, too_large, parsed.__gt__),
    ):
        if limit is None:
            continue
        rows = outside(limit).fill_null(False).to_numpy()
        if rows.any():
            problems.append(ColumnProblem(name, refusal.code, refusal.expected, rows))
    return problems


def describe_range(minimum: Any, maximum: Any) -> list[str]:
    """Say which range it is, for people."""
    if minimum is None and maximum is None:
        return []
    return [f"{'' if minimum is None else minimum} .. {'' if maximum is None else maximum}"]


def spread(low: float, high: float, n_rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw values: half evenly over the range, half over its orders of magnitude, and a few special ones."""
    import numpy as np

    share = rng.random(n_rows)
    even = low * (1.0 - share) + high * share  # `low + share * (high - low)` may overflow
    reach = max(abs(low), abs(high), 1e-3)
    magnitude = np.exp(rng.random(n_rows) * np.log(reach / 1e-3)) * 1e-3
    sign = np.where(rng.random(n_rows) < 0.5, -1.0, 1.0)
    values = np.where(rng.random(n_rows) < 0.5, even, magnitude * sign)
    special = np.array([low, high, 0.0, 1.0])[rng.integers(0, 4, n_rows)]
    values = np.where(rng.random(n_rows) < 0.05, special, values)
    outside = (values < low) | (values > high)
    mirrored = np.where(outside, -values, values)
    return np.where((mirrored < low) | (mirrored > high), even, mirrored)
