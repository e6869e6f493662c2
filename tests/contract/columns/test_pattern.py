"""Patterns: whole texts, in linear time, with the meaning that Python's and Polars' engines give them."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabloop.contract.columns import CategoryColumn
from tabloop.contract.columns.pattern import whole_text_matcher
from tabloop.contract.contract import Contract
from tabloop.errors import ContractError

atoms = st.sampled_from(
    ["a", "Ä", "[a-z]", "[^a]", r"\d", ".", "é{1,2}", "(?:ab|a)", "[A-Zäöü]", "😀", r"\.", "(b|c)"]
)
pieces = st.builds(
    str.__add__, atoms, st.sampled_from(["", "*", "+", "?", "{2}", "{0,3}"]).filter(bool) | st.just("")
)
patterns = st.lists(pieces.filter(lambda p: not re.search(r"\}[*+?{]", p)), min_size=1, max_size=4).map(
    "".join
) | st.lists(atoms, min_size=2, max_size=3).map("|".join)
texts = st.text(st.sampled_from("abcÄäÜé1.😀 \n\u0301Z"), max_size=8)


@given(patterns, texts)
@settings(max_examples=400, deadline=None)
def test_three_engines_agree_on_whole_texts(pattern: str, text: str) -> None:
    matched = whole_text_matcher(pattern)(text)
    assert matched == (re.fullmatch(pattern, text) is not None)
    assert matched == pl.Series([text]).str.contains(rf"\A(?:{pattern})\z")[0]


def test_a_pattern_that_froze_a_worker_answers_at_once() -> None:
    column = CategoryColumn(type="category", pattern="([A-Z]+)+", open=True, max_length=1_000_000)
    text = "A" * 500_000 + "!"  # Python's `re` would not be done in the age of the universe
    assert column.problem(text) is not None
    assert column.check_series("c", pl.Series([text, "AB"]))[1][0].rows.tolist() == [True, False]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?=a)b", "look-around"),
        (r"(a)\1", "backreferences are not supported"),
        ("a{1000}{1000}", "."),
        ("[", "not a regular expression"),
        ("[a--b]", "Possible set difference"),
        (r"\p{Lu}", "bad escape"),
    ],
)
def test_what_the_engine_cannot_do_is_refused_in_the_config(pattern: str, said: str) -> None:
    column = {"type": "category", "open": True, "pattern": pattern}
    with pytest.raises(ContractError, match=said):
        Contract.from_dict({"columns": {"c": column}, "target": {"name": "y"}})


@pytest.mark.parametrize("name", ['the "size"', "a\\b", "a\nb", "a\x7f", "a\u2028b", "", "  ", "\ud800"])
@pytest.mark.parametrize("place", ["columns", "features", "target"])
def test_names_that_no_door_can_carry_are_refused_before_anything_runs(name: str, place: str) -> None:
    described = {
        "columns": {"n": {"type": "integer"}, **({name: {"type": "integer"}} if place == "columns" else {})},
        "features": {name: "n + 1"} if place == "features" else {},
        "target": {"name": name if place == "target" else "y"},
    }
    with pytest.raises(ContractError):
        Contract.from_dict(described)
