"""Codes of categories in the order of their names, and in that of their share of positives."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from tabloop.training.category_codes import CategoryCodes, OrderedCategories


def test_codes_rise_with_the_share_of_positives() -> None:
    rng = np.random.default_rng(4)
    names = [f"c{place:02}" for place in range(30)]
    shares = dict(zip(names, rng.permutation(np.linspace(0.05, 0.95, 30)), strict=True))
    plans = pl.DataFrame({"plan": rng.choice(names, 200_000)})
    y = (rng.random(plans.height) < plans["plan"].replace_strict(shares).to_numpy()).astype(np.int8)
    codes = OrderedCategories().fit(plans, y)
    by_code = sorted(names, key=lambda name: codes.codes_[0][names.index(name)])
    assert by_code == sorted(names, key=lambda name: shares[name])
    # one comparison of a code is as good as the best of all sets of categories: better than any of names
    x = codes.transform(plans)
    stump = DecisionTreeClassifier(max_depth=1).fit(x, y)
    by_name = DecisionTreeClassifier(max_depth=1).fit(CategoryCodes().fit_transform(plans), y)
    best = plans["plan"].is_in([name for name in names if shares[name] > 0.5]).to_numpy()
    assert stump.score(x, y) >= max(
        np.mean(best == y) - 0.001, by_name.score(CategoryCodes().fit_transform(plans), y) + 0.05
    )


def test_what_was_never_seen_stands_at_the_overall_share_or_with_the_rare() -> None:
    plans = pl.DataFrame({"plan": ["a"] * 40 + ["b"] * 40 + ["rare"] * 3})
    y = np.array([1] * 35 + [0] * 5 + [0] * 40 + [1] * 3)
    asked = pl.DataFrame({"plan": ["b", "new", "a"]})
    alone = OrderedCategories().fit(plans.head(80), y[:80])
    assert alone.transform(asked).ravel().tolist() == [0.0, 1.0, 2.0]
    grouped = OrderedCategories(min_rows=10).fit(plans, y)
    assert grouped.categories_ == [["a", "b"]]
    assert grouped.transform(pl.DataFrame({"plan": ["rare", "new"]})).ravel().tolist() == [1.0, 1.0]


@settings(max_examples=50)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", "d", None]), st.integers(0, 1)), min_size=1, max_size=40
    ),
    min_rows=st.integers(1, 5),
    seed=st.integers(0, 5),
)
def test_the_order_depends_on_the_rows_alone(
    rows: list[tuple[str | None, int]], min_rows: int, seed: int
) -> None:
    plans = pl.DataFrame({"plan": [plan for plan, _ in rows]}, schema={"plan": pl.String})
    y = np.array([target for _, target in rows])
    codes = OrderedCategories(min_rows).fit(plans, y)
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    again = OrderedCategories(min_rows).fit(plans[shuffled], y[shuffled])
    assert codes.categories_ == again.categories_
    assert codes.codes_[0].tolist() == again.codes_[0].tolist()
    assert sorted(codes.codes_[0].tolist()) == list(range(len(codes.categories_[0]) + 1))
