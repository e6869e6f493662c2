from __future__ import annotations

import numpy as np
import pytest

from tabloop.data.repetition import copy_numbers, measure_repetition


def table(patterns: list[int], y: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(patterns, dtype=np.uint64), np.array(y, dtype=np.int8)


@pytest.mark.parametrize(
    ("patterns", "y", "rule"),
    [
        ([*range(100)], [0, 1] * 50, "together"),  # nothing repeats
        ([*range(95), 0, 1, 2, 3, 4], [0] * 95 + [1] * 5, "together"),  # few do, whatever their targets
        ([*range(100)] * 2, [0, 1] * 100, "together"),  # a file that was appended to itself
        ([0, 1, 2, 3] * 50, [0] * 101 + [1] * 99, "apart"),  # features that take few values
    ],
)
def test_the_table_as_a_whole_tells_copies_from_cases(patterns: list[int], y: list[int], rule: str) -> None:
    assert measure_repetition(*table(patterns, y)).rule == rule


def test_what_is_counted() -> None:
    found = measure_repetition(*table([1, 1, 2, 3, 3, 3], [0, 1, 1, 0, 0, 0]))
    assert (found.rows, found.distinct_rows, found.repeating_rows, found.contradicting_rows) == (6, 3, 5, 2)


def test_copies_are_numbered_within_their_target() -> None:
    assert copy_numbers(*table([5, 5, 9, 5, 5], [1, 0, 1, 1, 0])).tolist() == [0, 0, 0, 1, 1]
