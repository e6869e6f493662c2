"""A log that is followed in pieces says what it says in one go."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drift.conftest import Population, drift_of_rows
from tests.drift.test_tracker import CONFIG, baseline, drifting, scored

from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.documents.drift_baseline import DriftBaseline
from tabloop.drift.history import DriftFollower, DriftHistory, HistoryFold
from tabloop.drift.reference import DriftReference
from tabloop.drift.scored_rows import ScoredRows
from tabloop.drift.windowed_test import WindowedDriftTest

__all__ = ["baseline", "drifting"]  # fixtures


@pytest.fixture(scope="module")
def rows(drifting: ScoredRows) -> ScoredRows:
    """Rows that drift, with countries that no training row has, two of them equally often in a window."""
    countries = list(drifting.categories["country"])
    countries[20:24] = ["Atlantis", "Utopia", "Utopia", "Atlantis"]
    countries[900:1200] = ["Utopia", "Atlantis", "Avalon"] * 100
    return drifting._replace(categories={"country": countries})


@pytest.fixture(scope="module")
def follower(reference: DriftReference, baseline: DriftBaseline) -> DriftFollower:
    return DriftFollower(reference, baseline, CONFIG)


@pytest.fixture(scope="module")
def whole(rows: ScoredRows, follower: DriftFollower) -> str:
    return told(drift_of_rows([rows], follower))


@pytest.fixture(scope="module")
def windowed(follower: DriftFollower) -> WindowedDriftTest:
    return follower.test()


def told(history: DriftHistory) -> str:
    return json.dumps(json_values(history))


def batches(rows: ScoredRows, start: int, stop: int, size: int) -> Iterator[ScoredRows]:
    for first in range(start, stop, size):
        yield rows.cut(first, min(stop, first + size))


@pytest.mark.examples
@settings(max_examples=settings().max_examples // 4, deadline=None)
@given(cuts=st.lists(st.integers(0, 1550), max_size=8), size=st.integers(40, 2000), rest=st.integers(0, 1550))
def test_any_pieces_say_what_the_whole_says(
    rows: ScoredRows, follower: DriftFollower, windowed: WindowedDriftTest, whole: str,
    cuts: list[int], size: int, rest: int,
) -> None:  # fmt: skip
    closed = len(rows.probability) - rest
    ends = sorted({min(cut, closed) for cut in cuts} | {closed})
    fold = HistoryFold(follower)
    start = 0
    for end in ends:
        kept_from = max(0, closed - CONFIG.window_rows)
        fold.add_piece(follower.piece(batches(rows, start, end, size), start, kept_from, windowed))
        start = end
    for batch in batches(rows, closed, len(rows.probability), size):
        fold.add_rows(batch)
    assert told(fold.history()) == whole


def test_pieces_carry_a_window_and_what_the_rule_needs_not_their_rows(
    population: Population, follower: DriftFollower, windowed: WindowedDriftTest
) -> None:
    many = scored(population, 20_000, seed=1)
    piece = follower.piece([many], 100, 10**9, windowed)
    assert sum(len(batch.probability) for batch in (*piece.head, *piece.tail)) == 200
    assert (piece.windows, piece.window_stop, piece.stop) == (66, 20_100, 20_100)
    kept = follower.piece([many], 100, 19_500, windowed)
    assert (kept.tail_start, sum(len(batch.probability) for batch in kept.tail)) == (19_500, 600)


def test_a_piece_that_is_not_the_next_is_refused(
    rows: ScoredRows, follower: DriftFollower, windowed: WindowedDriftTest
) -> None:
    fold = HistoryFold(follower)
    with pytest.raises(ValueError, match="a piece from row 300 follows 0 rows"):
        fold.add_piece(follower.piece([rows], 300, 0, windowed))
