from __future__ import annotations

import polars as pl

from tabloop.contract.row_hash import row_hashes


def test_both_zeros_are_one_value() -> None:
    minus, plus = row_hashes(pl.DataFrame({"x": [-0.0, 0.0]}))
    assert minus == plus
