from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tabloop.charts.scale import Axis, fit_scale, tick_text


@given(values=st.lists(st.floats(-1e12, 1e12), max_size=8), log=st.booleans())
@example(values=[5e-324], log=False)
def test_any_values_get_a_scale_with_ticks_in_order(values: list[float], log: bool) -> None:
    scale = fit_scale(Axis("x", log=log), values, 0.0, 100.0)
    assert scale.low < scale.high
    ticks = scale.ticks
    assert len(ticks) <= 20
    assert all(a < b for a, b in itertools.pairwise(ticks))
    assert all(0 <= scale(tick) <= 100 for tick in ticks)
    assert all(0 <= scale(value) <= 100 for value in values if not log)


@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [5.0, 5.0], [-1.0]])
@pytest.mark.parametrize("log", [True, False])
def test_values_that_span_nothing_get_a_scale_too(values: list[float], log: bool) -> None:
    scale = fit_scale(Axis("x", log=log), values, 10.0, 0.0)
    assert scale.low < scale.high


def test_a_tick_has_no_exponent_and_no_noise() -> None:
    assert [tick_text(v, "number") for v in (0.1 + 0.2, 1e6, 25_000, 1234.0)] == ["0.3", "1M", "25k", "1,234"]
