"""Draw texts that match a column's pattern and lengths."""

from __future__ import annotations

import random

import rstr

from tabloop.contract.columns import CategoryColumn, TextColumn, text_problem
from tabloop.errors import ContractError

_TRIES = 4000


def matching_texts(
    name: str, column: CategoryColumn | TextColumn, rng: random.Random, *, most: int = 200
) -> list[str]:
    """Draw distinct texts that a column accepts.

    Parameters
    ----------
    name : str
        The column's name, for the message.
    column : CategoryColumn or TextColumn
        What the texts have to be.
    rng : random.Random
        Equal states give equal texts.
    most : int, default=200
        How many to draw at most; the categories of a column that lists them all come back.

    Returns
    -------
    texts : list of str
        At least one.

    Raises
    ------
    ContractError
        If no text can be found that matches the pattern.

    Examples
    --------
    >>> code = TextColumn(type="text", pattern="[A-Z]{2}-[0-9]", max_length=4)
    >>> len(matching_texts("code", code, random.Random(7), most=3))
    3
    """
    if isinstance(column, CategoryColumn) and column.categories is not None:
        return list(column.categories)
    generator = rstr.Rstr(rng)
    pattern = column.pattern or "[a-z]{1,12}"
    shortest = max(1, column.min_length)
    found: dict[str, None] = {}
    for _ in range(_TRIES):
        try:
            text = generator.xeger(pattern)
        except KeyError as error:
            raise ContractError(f"contract.columns.{name}: cannot draw texts for {pattern!r}") from error
        if column.pattern is None and len(text) < shortest:
            text = text.ljust(shortest, "x")
        if text and text not in column.null_values and text_problem(text, column) is None:
            found[text] = None
            if len(found) == most:
                break
    if not found:
        raise ContractError(f"contract.columns.{name}: no text found that matches {pattern!r}")
    return list(found)
