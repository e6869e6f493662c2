"""Draw valid rows from a contract: for tests, examples and probes."""

from __future__ import annotations

import numpy as np
import polars as pl

from tabloop.contract.checks.rules import broken_rules
from tabloop.contract.columns.column import Sampler
from tabloop.contract.contract import Contract
from tabloop.errors import ContractError

_NULL_FRACTION = 0.1
_ROUNDS = 200


def sample_rows(contract: Contract, n_rows: int, *, seed: int) -> pl.DataFrame:
    """Draw rows that the contract accepts.

    Parameters
    ----------
    contract : Contract
        The columns and rules that a valid row meets.
    n_rows : int
        The number of rows to draw.
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
    samplers = {name: column.sampler(name, seed) for name, column in contract.columns.items()}
    parts: list[pl.DataFrame] = []
    found = 0
    for _ in range(_ROUNDS):
        if found >= n_rows:
            break
        rows = _draw(contract, max(64, 2 * (n_rows - found)), samplers, rng)
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
    return pl.concat(parts).head(n_rows) if parts else _draw(contract, 0, samplers, rng)


def _draw(
    contract: Contract, n_rows: int, samplers: dict[str, Sampler], rng: np.random.Generator
) -> pl.DataFrame:
    columns = {}
    for name, column in contract.columns.items():
        values = samplers[name](n_rows, rng).cast(column.dtype)
        if column.nullable:
            missing = pl.Series(rng.random(n_rows) < _NULL_FRACTION)
            values = values.to_frame("v").select(pl.when(~missing).then(pl.col("v")))["v"]
        columns[name] = values.alias(name)
    return pl.DataFrame(columns)
