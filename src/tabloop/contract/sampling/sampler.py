"""Draw valid rows from a contract: for tests, examples and probes."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tabloop.contract.checks.rules import broken_rules
from tabloop.contract.column_parsing import TIMESTAMP_DTYPE, dtype_of
from tabloop.contract.columns import (
    BooleanColumn,
    CategoryColumn,
    IntegerColumn,
    NumberColumn,
    TextColumn,
    TimestampColumn,
)
from tabloop.contract.contract import Contract
from tabloop.contract.sampling.texts import matching_texts
from tabloop.errors import ContractError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NULL_FRACTION = 0.1
_ROUNDS = 200
_UNBOUNDED = 1e6


def sample_rows(contract: Contract, n_rows: int, *, seed: int) -> pl.DataFrame:
    """Draw rows that the contract accepts.

    Parameters
    ----------
    contract : Contract
        What a valid row is.
    n_rows : int
        How many.
    seed : int
        Equal seeds give equal rows.

    Returns
    -------
    rows : polars.DataFrame with n_rows rows
        The contract's columns in its types, without the target.

    Raises
    ------
    ContractError
        If the row rules leave (almost) no row, or no text can be found that matches a pattern.

    Notes
    -----
    Numbers are spread over their range on a linear and on a logarithmic scale, with the ends of the
    range, zero and one among them; rows that break a rule are drawn again.

    Examples
    --------
    >>> contract = Contract.from_dict({
    ...     "columns": {"passed": {"type": "integer", "minimum": 0, "maximum": 9},
    ...                 "started": {"type": "integer", "minimum": 0, "maximum": 9}},
    ...     "rules": ["passed <= started"], "target": {"name": "bought"}})
    >>> rows = sample_rows(contract, 100, seed=7)
    >>> rows.height, bool((rows["passed"] <= rows["started"]).all())
    (100, True)
    """
    rng = np.random.default_rng(seed)
    texts = {
        name: matching_texts(name, column, random.Random(seed))  # noqa: S311 - examples, not secrets
        for name, column in contract.columns.items()
        if isinstance(column, CategoryColumn | TextColumn)
    }
    parts: list[pl.DataFrame] = []
    found = 0
    for _ in range(_ROUNDS):
        if found >= n_rows:
            break
        rows = _draw(contract, max(64, 2 * (n_rows - found)), texts, rng)
        meets = ~np.any(
            [np.zeros(rows.height, dtype=np.bool_), *broken_rules(contract, rows).values()], axis=0
        )
        rows = rows.filter(pl.Series(meets))
        parts.append(rows)
        found += rows.height
    if found < n_rows:
        raise ContractError(
            f"only {found} of {n_rows} rows found that meet the rules {', '.join(map(str, contract.rules))}; "
            "are the ranges and the rules at odds?"
        )
    return pl.concat(parts).head(n_rows) if parts else _draw(contract, 0, texts, rng)


def _draw(
    contract: Contract, n_rows: int, texts: dict[str, list[str]], rng: np.random.Generator
) -> pl.DataFrame:
    columns = {}
    for name, column in contract.columns.items():
        if name in texts:
            values = pl.Series(texts[name], dtype=pl.String)[rng.integers(0, len(texts[name]), n_rows)]
        else:
            values = _values(column, n_rows, rng).cast(dtype_of(column))
        if column.nullable:
            missing = pl.Series(rng.random(n_rows) < _NULL_FRACTION)
            values = values.to_frame("v").select(pl.when(~missing).then(pl.col("v")))["v"]
        columns[name] = values.alias(name)
    return pl.DataFrame(columns)


@singledispatch
def _values(column: Any, n_rows: int, rng: np.random.Generator) -> pl.Series:
    raise TypeError(f"no sampler for {type(column).__name__}")


@_values.register
def _(column: IntegerColumn, n_rows: int, rng: np.random.Generator) -> pl.Series:
    spread = _spread(float(column.minimum), float(column.maximum), n_rows, rng)
    # rounding inwards keeps the ends of the range inside it
    return pl.Series(np.clip(np.rint(spread).astype(np.int64), column.minimum, column.maximum))


@_values.register
def _(column: NumberColumn, n_rows: int, rng: np.random.Generator) -> pl.Series:
    low = column.minimum if column.minimum is not None else min(-_UNBOUNDED, column.maximum or 0.0)
    high = column.maximum if column.maximum is not None else max(_UNBOUNDED, low)
    return pl.Series(_spread(low, high, n_rows, rng))


@_values.register
def _(column: BooleanColumn, n_rows: int, rng: np.random.Generator) -> pl.Series:
    return pl.Series(rng.random(n_rows) < 0.5)


@_values.register
def _(column: TimestampColumn, n_rows: int, rng: np.random.Generator) -> pl.Series:
    high = column.maximum or max(
        datetime(2030, 1, 1, tzinfo=UTC), column.minimum or datetime.min.replace(tzinfo=UTC)
    )
    earliest = datetime.min.replace(tzinfo=UTC)
    low = column.minimum or max(earliest, high - min(timedelta(days=3650), high - earliest))
    micros = np.asarray(rng.random(n_rows) * ((high - low) / timedelta(microseconds=1)), dtype=np.int64)
    start = (low - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return pl.Series(start + micros).cast(pl.Datetime("us")).cast(TIMESTAMP_DTYPE)


def _spread(low: float, high: float, n_rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Half of the values even over the range, half even over its orders of magnitude, some special."""
    share = rng.random(n_rows)
    even = low * (1.0 - share) + high * share  # high - low may overflow
    reach = max(abs(low), abs(high), 1e-3)
    magnitude = np.exp(rng.random(n_rows) * np.log(reach / 1e-3)) * 1e-3
    sign = np.where(rng.random(n_rows) < 0.5, -1.0, 1.0)
    values = np.where(rng.random(n_rows) < 0.5, even, magnitude * sign)
    special = np.array([low, high, 0.0, 1.0])[rng.integers(0, 4, n_rows)]
    values = np.where(rng.random(n_rows) < 0.05, special, values)
    outside = (values < low) | (values > high)
    mirrored = np.where(outside, -values, values)
    return np.where((mirrored < low) | (mirrored > high), even, mirrored)
