"""What is known of rows beside their features: what belongs together, when it was, how much it weighs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RowMarks:
    """Marks of rows; None where the config names no such column.

    Attributes
    ----------
    groups : ndarray of uint64, shape (n_rows,), or None
        Equal numbers for rows that depend on each other, such as those of one customer (`data.split.kind:
        group`).
    times : ndarray of int64 or float64, shape (n_rows,), or None
        When a row was, in microseconds since 1970 where the column holds moments (`data.split.kind: time`).
    weights : ndarray of float64, shape (n_rows,), or None
        How much a row weighs, not negative; None where each weighs as much as any other.

    Examples
    --------
    >>> import numpy as np
    >>> marks = RowMarks(groups=np.array([7, 7, 8], dtype=np.uint64))
    >>> marks.take(np.array([0, 2])).groups.tolist()
    [7, 8]
    """

    groups: NDArray[np.uint64] | None = None
    times: NDArray[Any] | None = None
    weights: NDArray[np.float64] | None = None

    @property
    def count_differently(self) -> bool:
        """Whether a row is not one independent observation like any other, so that no exact bound holds."""
        return self.groups is not None or self.weights is not None

    def take(self, rows: NDArray[Any]) -> RowMarks:
        """Keep some of the rows, by position or mask."""
        return RowMarks(
            groups=None if self.groups is None else self.groups[rows],
            times=None if self.times is None else self.times[rows],
            weights=None if self.weights is None else self.weights[rows],
        )
