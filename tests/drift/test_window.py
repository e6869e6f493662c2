from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabloop.drift.reference import DriftReference
from tabloop.drift.window import DriftRows, DriftWindow

REFERENCE = DriftReference(
    numeric_features=("x", "y"),
    category_features=("k",),
    numeric=np.zeros((1, 2)),
    codes=np.zeros((1, 1), dtype=np.int32),
    vocabulary=(("a", "b"),),
    y_true=np.zeros(1, dtype=np.int8),
    y_proba=np.zeros(1),
    training_rows=1,
)


def put(window: DriftWindow, start: int, words: list[str | None]) -> None:
    at = np.arange(start, start + len(words), dtype=np.float64)
    window.update({"x": at, "y": np.where(at % 3 == 0, np.nan, -at)}, {"k": words}, at / 1e3, at % 2)


def named(rows: DriftRows, vocabulary: tuple[str, ...] = ("a", "b")) -> list[str | None]:
    words = (*vocabulary, *rows.unseen["k"])
    return [None if code < 0 else words[code] for code in rows.codes["k"].tolist()]


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.one_of(st.none(), st.sampled_from("abcdefgh")), max_size=80),
    cuts=st.lists(st.integers(0, 80), max_size=12),
    capacity=st.integers(1, 12),
)
def test_the_window_is_the_latest_rows_however_they_came(
    words: list[str | None], cuts: list[int], capacity: int
) -> None:
    window = DriftWindow(REFERENCE, capacity)
    ends = sorted({min(cut, len(words)) for cut in cuts} | {len(words)})
    start = 0
    for end in ends:
        put(window, start, words[start:end])
        start = end
    rows = window.latest(capacity)
    held = min(capacity, len(words))
    at = np.arange(len(words) - held, len(words), dtype=np.float64)
    assert window.rows_seen == len(words)
    assert rows.numeric["x"].tolist() == at.tolist()
    np.testing.assert_array_equal(rows.numeric["y"], np.where(at % 3 == 0, np.nan, -at))
    assert named(rows) == words[len(words) - held :]
    assert rows.probability.tolist() == (at / 1e3).tolist()
    assert rows.label.tolist() == (at % 2).tolist()


def test_names_without_end_do_not_pile_up() -> None:
    window = DriftWindow(REFERENCE, 10)
    for start in range(0, 5000, 7):
        put(window, start, [f"new {i}" for i in range(start, start + 7)])
    rows = window.latest(10)
    assert named(rows) == [f"new {i}" for i in range(window.rows_seen - 10, window.rows_seen)]
    assert len(rows.unseen["k"]) < 40


def test_what_the_log_omits_is_not_monitored_and_said_so() -> None:
    window = DriftWindow(REFERENCE, 4, not_monitored=["k", "y"])
    window.update({"x": np.ones(2)}, {}, np.ones(2), np.ones(2))
    assert window.not_monitored == ("y", "k")
    assert list(window.latest(4).numeric) == ["x"]
    with pytest.raises(KeyError, match="x"):
        window.update({}, {}, np.ones(2), np.ones(2))


def test_rows_by_number() -> None:
    window = DriftWindow(REFERENCE, 5)
    words: list[Any] = list("aabbcab")
    put(window, 0, words)
    assert window.rows(3, 6).numeric["x"].tolist() == [3.0, 4.0, 5.0]
    for start, stop in ((1, 4), (5, 8), (4, 3)):
        with pytest.raises(IndexError, match=f"rows {start} to {stop} are not held"):
            window.rows(start, stop)
