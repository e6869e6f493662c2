from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tabloop.config.yaml_text import parse_yaml, write_yaml
from tabloop.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("12:30", "12:30"),
        ("1:2:3", "1:2:3"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("1e3", 1000.0),
        ("-1.5E-3", -0.0015),
        ("+12", 12),
        (".5", 0.5),
        ("1.", 1.0),
        (".inf", math.inf),
        ("2024-01-31", "2024-01-31"),
        ("'010'", "010"),
        ("{a: &x [1, 2], b: *x}", {"a": [1, 2], "b": [1, 2]}),
        ("{a: &x {p: 1, q: 2}, b: {<<: *x, q: 3}}", {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}}),
    ],
)
def test_plain_texts_mean_what_yaml_1_2_says(text: str, value: Any) -> None:
    found = parse_yaml(text, "here")
    assert (found, type(found)) == (value, type(value))


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "aliases repeat more than 10,000 values"),
        ("&x [*x]", "an alias holds itself"),
        ("a: &x {b: *x}", "an alias holds itself"),
        ("[" * 5000, "nested too deeply"),
        ("{a: 1, a: 2}", "'a' stands twice"),
        ("{[1]: 2}", "a key must be a plain text"),
        ("!!bool maybe", "a tag does not fit its value"),
        ("!!float ''", "a tag does not fit its value"),
        ("!!timestamp soon", "a tag does not fit its value"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("9" * 5000, "Exceeds the limit"),
        ("a: \x07", "special characters are not allowed"),
        ("a: 1\n---\nb: 2", "expected a single document"),
    ],
)
def test_what_is_no_settings_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="here: not YAML") as caught:
        parse_yaml(text, "here")
    assert said in str(caught.value)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc12:.-eyo", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@example(["\x85", "a\u2028b", "\ufeffx", "a\nb", " a ", "\r"])
@given(plain)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert parse_yaml(write_yaml(value), "here") == value


@given(st.text("0123456789:.eE+-_oxyn~", max_size=8))
def test_texts_that_look_like_other_values_stay_texts(text: str) -> None:
    assert parse_yaml(write_yaml(text), "here") == text
