from __future__ import annotations

import time
import uuid

from hypothesis import given, settings
from hypothesis import strategies as st

from tabloop.artifacts.prediction_log.ids import (
    LARGEST_SEQUENCE,
    TICKS_PER_MS,
    PredictionIds,
    id_prefix,
    split_id,
)

ticks = st.integers(0, 2**60 - 1)
writers = st.integers(0, 2**30 - 1)
sequences = st.integers(1, LARGEST_SEQUENCE)


@settings(deadline=None)
@given(ticks, writers, sequences)
def test_an_id_tells_what_it_was_made_of(tick: int, writer: int, sequence: int) -> None:
    text = f"{id_prefix(tick, writer)}{sequence:08x}"
    assert split_id(text) == (tick, writer, sequence)
    known = uuid.UUID(text)
    assert (known.version, known.variant, str(known)) == (7, uuid.RFC_4122, text)
    assert known.int >> 80 == tick // TICKS_PER_MS  # Unix milliseconds, where everybody looks for them


@settings(deadline=None)
@given(st.tuples(ticks, writers, sequences), st.tuples(ticks, writers, sequences))
def test_ids_sort_as_time_then_writer_then_sequence(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    texts = [f"{id_prefix(each[0], each[1])}{each[2]:08x}" for each in (a, b)]
    assert (texts[0] < texts[1]) == (a < b)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-(10**12), 10**12), st.integers(1, 5), st.booleans()), max_size=30))
def test_ids_increase_whatever_the_clock_does(steps: list[tuple[int, int, bool]]) -> None:
    now = 1_700_000_000_000_000_000
    ids = PredictionIds(lambda: now)
    given_ids: list[str] = []
    kept: list[int] = []
    for step_ns, n_rows, is_written in steps:
        now += step_ns
        prefix, first = ids.begin(n_rows)
        given_ids += [f"{prefix}{sequence:08x}" for sequence in range(first, first + n_rows)]
        if is_written:
            ids.confirm(n_rows)
            kept += range(first, first + n_rows)
    assert given_ids == sorted(set(given_ids)) or not all(step[2] for step in steps)
    assert len(set(given_ids)) == len(given_ids)  # even those of batches that failed
    assert kept == list(range(1, len(kept) + 1))  # failed batches use up no numbers


def test_an_exhausted_writer_goes_on_as_another() -> None:
    ids = PredictionIds()
    ids.sequence = LARGEST_SEQUENCE - 1
    before = ids.writer
    (last,) = ids.take(1)
    first, _ = ids.take(2)
    assert split_id(last).sequence == LARGEST_SEQUENCE
    assert split_id(last).writer == before
    assert split_id(first).sequence == 1
    assert last < first


def test_the_time_in_an_id_is_now() -> None:
    before = time.time()
    (text,) = PredictionIds().take(1)
    assert before - 0.001 <= split_id(text).time.timestamp() <= time.time() + 0.001
