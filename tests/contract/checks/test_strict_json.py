"""One strict reader for every door: a key that stands twice is refused wherever it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabloop.contract.checks.strict_json import read_strict_json
from tabloop.errors import MalformedBodyError

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    assert read_strict_json(json.dumps(value).encode()) == value


@given(st.text(max_size=5), values, values, values)
def test_a_repeated_key_is_refused_at_any_depth(key: str, first: Any, second: Any, around: Any) -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else letter for letter in key)
    twice = f'{{{json.dumps(key)}: {json.dumps(first)}, "{escaped}": {json.dumps(second)}}}'
    body = f'{{"around": {json.dumps(around)}, "inside": [{twice}]}}'
    with pytest.raises(MalformedBodyError, match="stands twice in one object"):
        read_strict_json(body.encode("utf-8", "surrogatepass"))


def test_a_long_key_is_cut_in_the_message() -> None:
    key = "k" * 10_000
    with pytest.raises(MalformedBodyError) as told:
        read_strict_json(f'{{"{key}": 1, "{key}": 2}}'.encode())
    assert len(str(told.value)) < 200
