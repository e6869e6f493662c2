from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from tabloop.drift.share_test import alarming_counts, share_p_value


@pytest.mark.parametrize(
    ("now", "rows", "known", "known_rows"), [(3, 50, 0, 900), (0, 50, 30, 90), (7, 40, 9, 60)]
)
def test_the_p_value_is_that_of_the_conditional_test(
    now: int, rows: int, known: int, known_rows: int
) -> None:
    fraction = rows / (rows + known_rows)
    tails = [binomtest(now, now + known, fraction, alternative=a).pvalue for a in ("greater", "less")]
    assert share_p_value(now, rows, known, known_rows) == pytest.approx(min(1.0, 2 * min(tails)))
    assert share_p_value(now, rows, known, known_rows, two_sided=False) == pytest.approx(tails[0])


@given(
    rows=st.integers(1, 80),
    known=st.integers(0, 500),
    alpha=st.floats(1e-6, 0.2),
    two_sided=st.booleans(),
)
def test_counts_alarm_where_their_p_value_does(rows: int, known: int, alpha: float, two_sided: bool) -> None:
    counts = np.arange(rows + 1)
    p = share_p_value(counts, rows, known, 500, two_sided=two_sided)
    (low,), (high,) = alarming_counts(rows, np.array([known]), 500, alpha, two_sided=two_sided)
    np.testing.assert_array_equal((counts <= low) | (counts >= high), p <= alpha)


@pytest.mark.parametrize(("rate", "rows"), [(0.001, 100), (0.02, 100), (0.3, 60)])
def test_the_level_is_kept_whatever_the_share(rate: float, rows: int) -> None:
    rng = np.random.default_rng(1)
    now, known = rng.binomial(rows, rate, 40_000), rng.binomial(1000, rate, 40_000)
    assert (share_p_value(now, rows, known, 1000) <= 0.01).mean() <= 0.0115
