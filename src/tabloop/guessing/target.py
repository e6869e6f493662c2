"""Guess which value of the target is the positive class."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from tabloop.contract.columns import listing
from tabloop.contract.target import target_text
from tabloop.errors import DataError

_POSITIVE_OF_PAIR = {
    frozenset(pair): pair[0]
    for pair in (("1", "0"), ("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("1", "-1"),
                 ("positive", "negative"), ("pos", "neg"), ("ja", "nein"), ("ja", "nee"), ("ja", "nej"),
                 ("oui", "non"), ("si", "no"), ("sí", "no"), ("sì", "no"), ("sim", "não"), ("tak", "nie"),
                 ("да", "нет"))
}  # fmt: skip
#: Texts that are sure to be meant as the positive value.
_PLAIN = ("1", "true")
_MISSING = ("na", "n/a", "nan", "null", "none", "missing", "unknown", "?", "-", ".")
#: A column with more spellings than this does not stand for two values.
_MOST_SPELLINGS = 10_000


@dataclass(frozen=True)
class TargetGuess:
    """The two values of a target.

    Attributes
    ----------
    positive, negative : str
        The two values, as `target_text` writes them.
    is_positive : polars.Series of bool, length n_rows
        Null where the target is missing.
    seen : str
        The guess and the evidence for it, in words.
    is_plain : bool
        Whether the values themselves say which is meant, as 1 and 0 or yes and no do.
    """

    positive: str
    negative: str
    is_positive: pl.Series
    seen: str
    is_plain: bool


def guess_target(file: str, name: str, values: pl.Series, wanted: str | None) -> TargetGuess:
    """Guess which of a target's two values counts as 1.

    Parameters
    ----------
    file : str
        What to call the table in messages.
    name : str
        The target's column.
    values : polars.Series of length n_rows
        Values as they were read.
    wanted : str or None
        The value that is to count as 1; by default that of 0/1, false/true, no/yes and their like,
        else the rarer one.

    Returns
    -------
    guess : TargetGuess

    Raises
    ------
    DataError
        If there are not two values, or `wanted` is none of them.

    Examples
    --------
    >>> guess = guess_target("a.csv", "fate", pl.Series(["alive", "dead", None, "alive"]), None)
    >>> guess.positive, guess.negative, guess.is_positive.to_list()
    ('dead', 'alive', [False, True, None, False])
    """
    plain = _plain_texts(file, name, values)
    counts: dict[str, int] = dict(plain.drop_nulls().value_counts().iter_rows())
    if len(counts) != 2:
        commonest = sorted(counts.items(), key=lambda item: -item[1])
        shown = listing([f"{_short(text)} ({_rows(rows)})" for text, rows in commonest])
        found = f"{len(counts):,} values, {shown}" if len(counts) > 1 else f"only {shown}"
        raise DataError(_problem(file, name, found if counts else "no value in any row", counts))
    positive, why = _choose_positive(file, name, counts, wanted)
    (negative,) = set(counts) - {positive}
    seen = (
        f"{_short(positive)} ({_rows(counts[positive])}) counts as 1, {why}; "
        f"{_short(negative)} ({_rows(counts[negative])}) as 0"
    )
    if wanted is None and positive not in _PLAIN:
        seen += f"; --positive {_argument(negative)} makes it the other way round"
    if plain.null_count():
        seen += f"; {_rows(plain.null_count())} without a value will be refused"
    return TargetGuess(positive, negative, plain == positive, seen, _natural_positive(counts) is not None)


def _natural_positive(counts: Iterable[str]) -> str | None:
    """Give the value that is meant as the positive one by what it says; None where neither is."""
    natural = _POSITIVE_OF_PAIR.get(frozenset(value.casefold() for value in counts))
    return next((value for value in counts if value.casefold() == natural), None)


def _plain_texts(file: str, name: str, values: pl.Series) -> pl.Series:
    """Write each value as `target_text` does; null where it is missing."""
    dtype = values.dtype
    if not (dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null) or dtype.is_numeric()):
        raise DataError(_problem(file, name, f"values of type {dtype}", {}))
    texts = (values.fill_nan(None) if dtype.is_float() else values).cast(pl.String)
    distinct = texts.drop_nulls().unique().sort()
    if len(distinct) > _MOST_SPELLINGS:
        raise DataError(_problem(file, name, f"{len(distinct):,} different values", {}))
    meanings = pl.Series([target_text(text) or None for text in distinct], dtype=pl.String)
    if distinct.is_empty():
        return texts
    return texts.replace_strict(distinct, meanings, default=None, return_dtype=pl.String)


def _choose_positive(file: str, name: str, counts: dict[str, int], wanted: str | None) -> tuple[str, str]:
    if wanted is not None:
        text = target_text(wanted)
        alike = [value for value in counts if value.casefold() == text.casefold()]
        if text in counts or len(alike) == 1:
            return text if text in counts else alike[0], "as --positive says"
        raise DataError(
            f"{file}: --positive {wanted!r} is no value of {name!r}; "
            f"expected one of {', '.join(_short(value) for value in sorted(counts))}"
        )
    natural = _natural_positive(counts)
    if natural is not None:
        return natural, "by what it means"
    if len(set(counts.values())) == 1:
        return max(counts), "both being equally common"
    return min(counts, key=lambda value: counts[value]), "the rarer one"


def _problem(file: str, name: str, found: str, counts: Iterable[str]) -> str:
    missing = next((text for text in counts if text.casefold() in _MISSING), None)
    hint = f" If {missing!r} means that it is missing, leave the field empty." if missing is not None else ""
    return (
        f"{file}: the target {name!r} holds {found}; expected two values, besides empty fields: more than "
        f"two classes (multi-class) and numbers (regression) are not supported.{hint} "
        "Choose another --target, or mend the column."
    )


def _argument(text: str) -> str:
    return text if text.isalnum() else shlex.quote(text)


def _short(text: str) -> str:
    return repr(text) if len(text) <= 60 else repr(f"{text[:57]}...")


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
