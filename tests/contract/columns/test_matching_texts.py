from __future__ import annotations

import random

import pytest

from tabloop.contract.columns.matching_texts import matching_texts


@pytest.mark.parametrize(
    ("pattern", "n_texts"), [("a", 1), ("(x|y)z?", 4), ("[A-C][A-C]", 9), ("[0-9]{2}", 100)]
)
def test_all_texts_of_a_pattern_that_has_few_are_found_and_not_looked_for_for_ever(
    pattern: str, n_texts: int
) -> None:
    for seed in range(5):
        drawn: list[str] = []

        def accepts(text: str, drawn: list[str] = drawn) -> bool:
            drawn.append(text)
            return True

        found = matching_texts("code", pattern, accepts, random.Random(seed))
        assert len(found) == len(set(drawn)) == n_texts
        assert len(drawn) < 20 * (n_texts + 1)


def test_a_text_that_is_hard_to_draw_is_looked_for_long() -> None:
    assert matching_texts("code", "[0-9]{3}", lambda text: text == "123", random.Random(1)) == ["123"]
