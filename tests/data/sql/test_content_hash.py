from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabloop.data.sql.content_hash import ContentHash
from tabloop.data.sql.values import convert

NUMBERS = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-(2**53), 2**53))
TEXTS = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=5))
ROWS = st.lists(st.tuples(NUMBERS, TEXTS), max_size=20)

Row = tuple[Any, str | None]


def hashed(rows: list[Row], sizes: list[int] | None = None) -> str:
    found = ContentHash(["x", "y"])
    rest = list(rows)
    for size in [*(sizes or []), len(rows)]:
        part, rest = rest[:size], rest[size:]
        if part:
            x = convert("x", [row[0] for row in part], pl.Float64())[1]
            y = convert("y", [row[1] for row in part], pl.String())[1]
            found.add([x, y])
    assert found.n_rows == len(rows)
    return found.hexdigest()


@given(ROWS, st.randoms(), st.lists(st.integers(1, 5), max_size=8))
def test_neither_order_nor_batches_matter(rows: list[Row], random: Any, sizes: list[int]) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert hashed(shuffled, sizes) == hashed(rows)


@given(ROWS, st.data())
def test_a_row_more_less_or_other_matters(rows: list[Row], data: st.DataObject) -> None:
    row = data.draw(st.tuples(NUMBERS, TEXTS))
    assert hashed([*rows, row]) != hashed(rows)
    assert hashed([*rows, row, row]) not in (hashed([*rows, row]), hashed(rows))
    other = data.draw(st.tuples(NUMBERS, TEXTS))
    same = repr((None if row[0] is None else float(row[0]) + 0.0, row[1])) == repr(
        (None if other[0] is None else float(other[0]) + 0.0, other[1])
    )
    assert (hashed([*rows, row]) == hashed([*rows, other])) == same


def test_rows_that_stand_there_twice_do_not_cancel_each_other() -> None:
    one, other = (1.0, "a"), (2.0, "b")
    assert len({hashed([one, one]), hashed([other, other]), hashed([one, other])}) == 3


def test_values_do_not_run_into_each_other() -> None:
    rows: list[list[Row]] = [
        [(None, "a"), (None, "b")],
        [(None, "a;b"), (None, None)],
        [(None, "ab"), (None, "")],
        [(1.0, "a"), (None, "b")],
        [(None, "n"), (None, "s1:b")],
        [(None, "a\0b"), (None, "")],
    ]
    assert len({hashed(each) for each in rows}) == len(rows)


def test_columns_and_types_count() -> None:
    def of(name: str, values: list[Any]) -> str:
        found = ContentHash([name])
        found.add([pl.Series(values)])
        return found.hexdigest()

    assert of("x", [1]) != of("y", [1])
    assert len({of("x", [1]), of("x", [1.0]), of("x", ["1"]), of("x", [datetime(1970, 1, 1)])}) == 4
    assert of("x", [True]) == of("x", [1])  # a database may keep the one as the other
    assert of("x", [-0.0]) == of("x", [0.0])


@pytest.mark.parametrize(
    ("dtype", "clean", "mixed"),
    [
        (pl.Int64(), [1, 2], [3, "x"]),
        (pl.Float64(), [1.5, 2], [3, "x"]),
        (pl.String(), ["a", "b"], ["c", 4]),
        (pl.Datetime("us", "UTC"), [datetime(2020, 1, 1), datetime(2020, 1, 2)],
         [datetime(2020, 1, 3, 4, 5, 6, 7), "0000-00-00"]),
    ],
)  # fmt: skip
def test_a_value_hashes_alike_whatever_stands_in_its_batch(
    dtype: pl.DataType, clean: list[Any], mixed: list[Any]
) -> None:
    def of(*batches: list[Any]) -> str:
        found = ContentHash(["x"])
        for batch in batches:
            found.add([convert("x", batch, dtype)[1]])
        return found.hexdigest()

    assert of(clean, mixed) == of([*clean, *mixed]) == of(*([value] for value in [*mixed, *clean]))


def test_a_moment_outside_the_calendar_is_text_and_keeps_its_hash() -> None:
    inside, outside = datetime(2020, 1, 1, tzinfo=UTC), 9_000_000_000_000_000_000
    micros = pl.Series([int(inside.timestamp() * 1e6), outside, None])
    series, hash_input = convert("t", micros, pl.Datetime("us", "UTC"))
    assert series.to_list() == [
        "2020-01-01T00:00:00.000000Z",
        "infinity, or outside the years 1 to 9999",
        None,
    ]
    whole, single = ContentHash(["t"]), ContentHash(["t"])
    whole.add([hash_input])
    for place in range(3):
        single.add([convert("t", micros[place : place + 1], pl.Datetime("us", "UTC"))[1]])
    assert whole.hexdigest() == single.hexdigest()
