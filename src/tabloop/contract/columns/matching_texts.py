"""Draw texts that match a pattern."""

from __future__ import annotations

import random
from collections.abc import Callable

import rstr

from tabloop.errors import ContractError

_TRIES = 4000


def matching_texts(
    name: str,
    pattern: str | None,
    accepts: Callable[[str], bool],
    rng: random.Random,
    *,
    min_length: int = 0,
    most: int = 200,
) -> list[str]:
    """Draw distinct texts that a column accepts.

    Parameters
    ----------
    name : str
        The column's name, for the message.
    pattern : str or None
        What the whole text has to match; by default, some letters.
    accepts : callable
        Tells whether the column takes a text.
    rng : random.Random
        Equal states give equal texts.
    min_length : int, default=0
        Texts without a pattern are filled up to this many characters.
    most : int, default=200
        The largest number of texts to draw.

    Returns
    -------
    texts : list of str
        The texts, at least one and none of them empty.

    Raises
    ------
    ContractError
        If no text can be found that matches the pattern.

    Examples
    --------
    >>> len(matching_texts("code", "[A-Z]{2}-[0-9]", lambda text: True, random.Random(7), most=3))
    3
    """
    generator = rstr.Rstr(rng)
    drawn_from = pattern or "[a-z]{1,12}"
    shortest = max(1, min_length)
    found: dict[str, None] = {}
    repeats = 0
    for _ in range(_TRIES):
        try:
            text = generator.xeger(drawn_from)
        except KeyError as error:
            raise ContractError(f"contract.columns.{name}: cannot draw texts for {drawn_from!r}") from error
        if pattern is None and len(text) < shortest:
            text = text.ljust(shortest, "x")
        if text and accepts(text):
            repeats = repeats + 1 if text in found else 0
            found[text] = None
            # a text as frequent as those found would have come by now, but for one case in 20,000
            if len(found) == most or repeats > 10 * len(found):
                break
    if not found:
        raise ContractError(f"contract.columns.{name}: no text found that matches {drawn_from!r}")
    return list(found)
