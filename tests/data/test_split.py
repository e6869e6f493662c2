from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabloop.contract.row_hash import row_hashes
from tabloop.data.split import split_dataset
from tabloop.errors import TooFewRowsError


def contents(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return sorted(frame.rows(), key=repr)


@settings(max_examples=20)
@given(order=st.randoms(use_true_random=False), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_changes_nothing(order: object, seed: int) -> None:
    frame = pl.DataFrame(
        {"x": [i % 97 / 7 for i in range(400)], "c": ["u", None] * 200, "y": [0, 0, 0, 1] * 100}
    )
    places = list(range(frame.height))
    order.shuffle(places)  # type: ignore[attr-defined]
    straight = split_dataset(frame, "y", test_size=0.3, seed=seed)
    shuffled = split_dataset(frame[places], "y", test_size=0.3, seed=seed)
    assert straight.train.equals(shuffled.train)
    assert straight.test.equals(shuffled.test)


def test_equal_rows_stay_together_and_appending_moves_nobody(students: pl.DataFrame) -> None:
    first = split_dataset(students.head(1000), "purchased", test_size=0.2, seed=42)
    both = split_dataset(students, "purchased", test_size=0.2, seed=42)
    train, test = set(both.train.rows()), set(both.test.rows())
    assert not train & test
    assert set(first.train.rows()) <= train
    assert set(first.test.rows()) <= test


def test_each_class_is_sampled_at_the_rate_asked_for() -> None:
    frame = pl.DataFrame({"x": range(20_000), "y": [0] * 18_000 + [1] * 2_000})
    split = split_dataset(frame, "y", test_size=0.25, seed=7)
    for label in (0, 1):
        share = split.test.filter(y=label).height / frame.filter(y=label).height
        assert abs(share - 0.25) < 0.04
    assert contents(pl.concat([split.train, split.test])) == contents(frame)


def test_a_part_without_a_class_is_an_error() -> None:
    frame = pl.DataFrame({"x": range(50), "y": [1] + [0] * 49})
    with pytest.raises(TooFewRowsError, match="holds one class of y only"):
        split_dataset(frame, "y", test_size=0.2, seed=1)


def test_hashes_are_the_same_on_every_machine_and_in_ten_years() -> None:
    frame = pl.DataFrame({"i": [1, None], "x": [0.1, -0.0], "s": ["é", ""], "b": [True, None]})
    assert row_hashes(frame, seed=42).tolist() == [11569310005202379424, 5717933811542881877]


def test_null_and_its_spelling_differ() -> None:
    hashes = row_hashes(pl.DataFrame({"a": [None, "n", "vn", ""], "b": ["n", None, "", "vn"]}))
    assert len(set(hashes.tolist())) == 4
