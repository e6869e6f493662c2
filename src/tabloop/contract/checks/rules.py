"""Judge the rows of a table by a contract's row rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tabloop.contract.contract import Contract
from tabloop.contract.formula_inputs import inputs_of_table
from tabloop.contract.formulas.evaluation import evaluate_table
from tabloop.contract.formulas.parser import Formula

if TYPE_CHECKING:
    from numpy.typing import NDArray


def broken_rules(contract: Contract, typed: pl.DataFrame) -> dict[Formula, NDArray[np.bool_]]:
    """Find the rows that break each rule.

    Parameters
    ----------
    contract : Contract
        The contract whose rules are checked.
    typed : polars.DataFrame with n_rows rows
        The contract's columns in its types.

    Returns
    -------
    broken : dict of Formula to ndarray of bool, shape (n_rows,)
        One entry for each rule. As with `CHECK` in SQL, a rule is not broken where one of its columns
        (outside `isnull`) is null.
    """
    values = inputs_of_table(contract, typed) if contract.rules else {}
    broken = {}
    for rule in contract.rules:
        applies = np.ones(typed.height, dtype=np.bool_)
        for name in rule.required_columns:
            applies &= typed[name].is_not_null().to_numpy()
        broken[rule] = applies & ~evaluate_table(rule, values, n_rows=typed.height)
    return broken
