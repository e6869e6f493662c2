from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit

from tabloop.artifacts.documents.lineage import SplitSetting
from tabloop.contract.row_hash import row_hashes
from tabloop.data.split import in_test_part, split_dataset
from tabloop.errors import TooFewRowsError
from tabloop.statistics.row_marks import RowMarks
from tabloop.training.folds import assign_folds


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
    assert row_hashes(frame, seed=42).tolist() == [11569310005202379424, 10446778095645319969]


def test_null_and_its_spelling_differ() -> None:
    hashes = row_hashes(pl.DataFrame({"a": [None, "n", "vn", ""], "b": ["n", None, "", "vn"]}))
    assert len(set(hashes.tolist())) == 4


def few_values(rows: int, patterns: int, base_rate: float, spread: float, seed: int) -> pl.DataFrame:
    """Make a table whose one feature takes few values, each with a rate of positives of its own."""
    rng = np.random.default_rng(seed)
    popularity = rng.dirichlet(np.full(patterns, 1.0))
    rates = rng.beta(base_rate * spread, (1 - base_rate) * spread, size=patterns)
    pattern = rng.choice(patterns, size=rows, p=popularity)
    return pl.DataFrame({"x": pattern, "y": (rng.random(rows) < rates[pattern]).astype(np.int8)})


def memorised_auc(train: pl.DataFrame, test: pl.DataFrame) -> float:
    """Rank test rows by the rate of positives that their pattern had in training."""
    prior = float(train["y"].to_numpy().mean())
    rates = train.group_by("x").agg(rate=(pl.col("y").sum() + 2 * prior) / (pl.len() + 2))
    scores = test.join(rates, on="x", how="left")["rate"].fill_null(prior).to_numpy()
    return float(roc_auc_score(test["y"].to_numpy(), scores))


@settings(max_examples=10, deadline=None)
@given(
    rows=st.integers(400, 1500),
    rows_a_pattern=st.floats(1.5, 300),
    base_rate=st.floats(0.1, 0.6),
    spread=st.floats(1.0, 10.0),
    seed=st.integers(0, 2**16),
)
def test_figures_are_those_of_a_random_split_however_much_rows_repeat(
    rows: int, rows_a_pattern: float, base_rate: float, spread: float, seed: int
) -> None:
    frame = few_values(rows, max(3, round(rows / rows_a_pattern)), base_rate, spread, seed)
    y = frame["y"].to_numpy()
    assume(40 <= y.sum() <= len(y) - 40)
    ours, theirs, held = [], [], []
    splitter = StratifiedShuffleSplit(n_splits=40, test_size=0.25, random_state=seed)
    for number, (train, test) in enumerate(splitter.split(np.zeros(len(y)), y)):
        theirs.append(memorised_auc(frame[train], frame[test]))
        split = split_dataset(frame, "y", test_size=0.25, seed=number)
        ours.append(memorised_auc(split.train, split.test))
        held.append(split.test["y"].to_numpy().mean())
    noise = float(np.hypot(np.std(ours), np.std(theirs)) / np.sqrt(len(ours)))
    assert abs(np.mean(ours) - np.mean(theirs)) < 5 * noise + 0.01
    assert abs(np.mean(held) - y.mean()) < 5 * np.std(held) / np.sqrt(len(held)) + 0.005


def test_positives_of_a_pattern_are_not_set_aside_together() -> None:
    frame = pl.DataFrame({"x": [0, 1] * 2000, "y": [0, 0, 0, 1, 0, 1, 1, 1] * 500})
    split = split_dataset(frame, "y", test_size=0.25, seed=42)
    assert split.rule == "apart"
    for part in (split.train, split.test):
        rates = part.group_by("x").agg(pl.col("y").mean()).sort("x")["y"].to_list()
        assert rates == [pytest.approx(0.25, abs=0.06), pytest.approx(0.75, abs=0.06)]


@settings(max_examples=20)
@given(order=st.randoms(use_true_random=False), appended=st.integers(0, 300))
def test_where_rows_repeat_neither_order_nor_appending_moves_a_row(order: object, appended: int) -> None:
    frame = few_values(1000 + appended, 8, 0.3, 4.0, seed=3)
    places = list(range(1000))
    order.shuffle(places)  # type: ignore[attr-defined]
    before = split_dataset(frame[places], "y", test_size=0.2, seed=5)
    after = split_dataset(frame, "y", test_size=0.2, seed=5)
    for old, new in ((before.train, after.train), (before.test, after.test)):
        grown = old.group_by("x", "y").len().join(new.group_by("x", "y").len(), on=["x", "y"], how="left")
        assert (grown["len"] <= grown["len_right"]).all()


def test_a_part_of_a_dataset_finds_itself_by_its_copy_numbers() -> None:
    frame = few_values(1000, 6, 0.4, 4.0, seed=1)
    split = split_dataset(frame, "y", test_size=0.2, seed=5)
    found = in_test_part(
        split.test, "y", setting=split.setting, seed=5, copies=split.test_copies
    )  # fmt: skip
    assert found.all()
    other = in_test_part(split.test, "y", setting=split.setting, seed=6, copies=split.test_copies)
    assert 0.1 < other.mean() < 0.3


def test_copies_are_in_one_part_and_one_fold() -> None:
    once = pl.DataFrame({"x": [i / 7 for i in range(600)], "y": [0, 0, 1] * 200})
    split = split_dataset(pl.concat([once, once]), "y", test_size=0.2, seed=42)
    assert not set(split.train.rows()) & set(split.test.rows())
    folds = assign_folds(split.train["y"].to_numpy(), n_splits=5, seed=42, groups=split.train_groups).of_row
    placed = split.train.with_columns(fold=pl.Series(folds)).group_by("x").agg(pl.col("fold").n_unique())
    assert (placed["fold"] == 1).all()
    assert np.bincount(folds).max() - np.bincount(folds).min() <= 4


def test_a_run_of_version_0_1_0_is_split_as_it_was() -> None:
    frame = pl.DataFrame({"x": [i % 50 for i in range(400)], "y": [0, 1, 0, 0] * 100})
    split = split_dataset(
        frame, "y", test_size=0.2, seed=42, setting=SplitSetting(rule="content", test_size=0.2)
    )
    assert split.train_groups is None
    hashes = row_hashes(frame, seed=42)
    assert split.test.height == int((hashes < np.uint64(0.2 * 2.0**64)).sum())


def customers(rng: np.random.Generator, n_rows: int = 1200) -> tuple[pl.DataFrame, RowMarks]:
    """Rows of customers of very different sizes, whose positive rates differ."""
    customer = (rng.pareto(1.0, n_rows) * 20).astype(np.int64)
    y = (rng.random(n_rows) < 0.1 + 0.4 * (customer % 3 == 0)).astype(np.int8)
    groups = row_hashes(pl.DataFrame({"group": customer}), seed=42)
    return pl.DataFrame({"x": rng.integers(0, 300, n_rows), "y": y}), RowMarks(groups=groups)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_group_is_on_both_sides_and_the_order_of_the_rows_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame, marks = customers(rng)
    split = split_dataset(frame, "y", test_size=0.2, seed=42, marks=marks)
    train, test = split.train_marks.groups, split.test_marks.groups
    assert train is not None
    assert test is not None
    assert split.rule == "group"
    assert not np.isin(train, test).any()
    assert len(train) + len(test) == frame.height
    places = rng.permutation(frame.height)
    again = split_dataset(frame[places], "y", test_size=0.2, seed=42, marks=marks.take(places))
    assert again.train.equals(split.train)
    assert again.test.equals(split.test)
    assert again.setting == split.setting
    found = in_test_part(frame, "y", setting=split.setting, seed=42, marks=marks)
    assert int(found.sum()) == split.test.height
    folds = assign_folds(
        split.train["y"].to_numpy(), n_splits=4, seed=42, groups=train, marks=split.train_marks
    )
    for fold in range(4):
        assert not np.isin(train[folds.held_out(fold)], train[folds.fitted_on(fold)]).any()


def test_groups_are_cut_and_dealt_so_that_positive_rates_are_nearly_equal() -> None:
    rng = np.random.default_rng(3)
    frame, marks = customers(rng, 6000)
    split = split_dataset(frame, "y", test_size=0.2, seed=42, marks=marks)
    y, groups = split.train["y"].to_numpy(), split.train_marks.groups
    counted = frame["y"].to_numpy()
    for label in (0, 1):  # whole customers, and some hold a twentieth of the rows
        assert abs((split.test["y"].to_numpy() == label).sum() / (counted == label).sum() - 0.2) < 0.05
    folds = assign_folds(y, n_splits=5, seed=42, groups=groups, marks=split.train_marks)
    rates = [float(y[folds.held_out(fold)].mean()) for fold in range(5)]
    sizes = [int(folds.held_out(fold).sum()) for fold in range(5)]
    assert max(rates) - min(rates) < 0.02
    assert max(sizes) < 1.1 * min(sizes)


def test_rows_that_are_appended_move_few_groups() -> None:
    frame, marks = customers(np.random.default_rng(5), 4000)
    first = split_dataset(
        frame[:2000], "y", test_size=0.3, seed=42, marks=marks.take(np.arange(2000))
    ).test_marks.groups
    grown = split_dataset(frame, "y", test_size=0.3, seed=42, marks=marks).test_marks.groups
    assert first is not None
    assert grown is not None
    known = marks.groups[:2000]  # type: ignore[index]
    before, after = np.isin(known, first), np.isin(known, grown)
    assert not (before & ~after).any() or not (after & ~before).any()  # one lies within the other
    assert (before == after).mean() > 0.8


def test_the_latest_rows_are_the_test_part_and_equal_times_are_never_parted() -> None:
    rng = np.random.default_rng(1)
    times = rng.integers(0, 40, 900)
    frame = pl.DataFrame({"x": rng.integers(0, 50, 900), "y": rng.integers(0, 2, 900).astype(np.int8)})
    split = split_dataset(frame, "y", test_size=0.25, seed=42, marks=RowMarks(times=times))
    train, test = split.train_marks.times, split.test_marks.times
    assert train is not None
    assert test is not None
    assert train.max() < test.min() == split.setting.cut
    assert abs(len(test) / 900 - 0.25) < 0.02
    places = rng.permutation(900)
    again = split_dataset(frame[places], "y", test_size=0.25, seed=7, marks=RowMarks(times=times[places]))
    assert contents(again.test) == contents(split.test)


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        (RowMarks(groups=np.full(100, 7, dtype=np.uint64)), "all rows are of one group"),
        (RowMarks(times=np.full(100, 7)), "all rows are of one time"),
        (RowMarks(times=np.arange(100)), "holds one class of y only; .* another data.split"),
    ],
)
def test_a_split_that_cannot_be_made_is_an_error(marks: RowMarks, words: str) -> None:
    frame = pl.DataFrame({"x": range(100), "y": [0, 1] * 40 + [0] * 20})
    with pytest.raises(TooFewRowsError, match=words):
        split_dataset(frame, "y", test_size=0.1, seed=42, marks=marks)
