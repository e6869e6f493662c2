from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabloop.contract.columns import Refusal, TimestampColumn

ORDERS: list[Any] = ["iso", "day_first", "month_first"]


@pytest.mark.parametrize("order", ORDERS)
@given(text=st.text("0123456789./-:T APMapmZ", max_size=22) | st.datetimes().map(str))
def test_a_table_and_a_request_read_a_text_alike(order: Any, text: str) -> None:
    column = TimestampColumn(type="timestamp", order=order, nullable=True)
    parsed, problems = column.check_series("x", pl.Series([text]))
    read = column.json_reader()(text)
    assert isinstance(read, Refusal) == bool(problems)
    if isinstance(read, str):
        assert datetime.fromisoformat(read) == parsed[0]
        assert column.formula_value(read) == column.formula_numbers(parsed)[0]


@given(moment=st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)), mark=st.sampled_from("./-"))
def test_a_date_is_read_in_the_order_that_was_named(moment: datetime, mark: str) -> None:
    exact = moment.replace(tzinfo=UTC)
    for order, form in (("day_first", f"%d{mark}%m{mark}%Y"), ("month_first", f"%m{mark}%d{mark}%Y")):
        column = TimestampColumn.model_validate({"type": "timestamp", "order": order})
        for clock in ("%H:%M:%S.%f", "%I:%M:%S.%f %p"):
            assert column.read_text(moment.strftime(f"{form} {clock}")) == exact
        assert column.read_text(moment.isoformat()) == exact


def test_impossible_dates_are_refused() -> None:
    column = TimestampColumn(type="timestamp", order="day_first")
    for text in (
        "31.02.2026",
        "1.13.2026",
        "1.1.26",
        "1.1/2026",
        "1.1.2026 25:00",
        "1.1.2026 13:00 PM",
        "1.1.2026\n",
    ):
        assert column.read_text(text) is None, text
