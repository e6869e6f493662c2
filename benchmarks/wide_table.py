"""Write a table as people have it: 40 columns, 12 of them categories, one of 5,000 levels, nulls everywhere.

    python -m benchmarks.wide_table --rows 300000 --output wide.csv

The target depends on numbers, on categories, on what is missing, and on pairs of them. It needs no network.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_NUMBERS, N_INTEGERS = 20, 8
#: Levels of each category; the last one is a shop, a street, a product: most of its levels are rare.
LEVELS = (2, 3, 4, 5, 7, 10, 15, 25, 40, 80, 200, 5000)


def wide_table(n_rows: int, *, seed: int = 0) -> pl.DataFrame:
    """Draw a table.

    Parameters
    ----------
    n_rows : int
        The number of rows.
    seed : int, default=0
        Fixes the draw; the effects of the categories are the same for all seeds.

    Returns
    -------
    table : polars.DataFrame
        40 columns with 2 to 20% nulls each, and the target `bought`, 0 or 1.
    """
    fixed = np.random.default_rng(12)
    rng = np.random.default_rng(seed)
    columns: dict[str, pl.Series] = {}
    score = np.zeros(n_rows)

    def nulls(share: float) -> NDArray[np.bool_]:
        return rng.random(n_rows) < share

    for place in range(N_NUMBERS):
        values = rng.normal(size=n_rows) if place % 3 else rng.lognormal(2.0, 1.0, n_rows)
        missing = nulls(0.02 + 0.18 * fixed.random())
        if place < 6:
            score += np.where(missing, 0.4, np.tanh(values / (place + 1)) * fixed.normal())
        name = f"amount_{place}"
        columns[name] = pl.Series(name, np.round(values, 4)).set(pl.Series(missing), None)
    for place in range(N_INTEGERS):
        counts = rng.poisson(3 + place, n_rows)
        missing = nulls(0.02 + 0.1 * fixed.random())
        if place < 3:
            score += np.where(missing, -0.3, 0.15 * (counts - 3))
        columns[f"count_{place}"] = pl.Series(f"count_{place}", counts).set(pl.Series(missing), None)
    for place, levels in enumerate(LEVELS):
        weights = 1 / (np.arange(levels) + 5.0)
        codes = rng.choice(levels, n_rows, p=weights / weights.sum())
        effects = fixed.normal(scale=0.7, size=levels)
        missing = nulls(0.02 + 0.1 * fixed.random())
        score += np.where(missing, 0.2, effects[codes]) * (1.0 if place % 2 else 0.4)
        texts = np.array([f"{'ABCDEFGHIJKL'[place]}{code:04d}" for code in range(levels)])
        name = f"group_{levels}"
        columns[name] = pl.Series(name, texts[codes]).set(pl.Series(missing), None)
    noise = rng.logistic(size=n_rows)
    columns["bought"] = pl.Series("bought", (score + noise > 1.5).astype(np.int64))
    return pl.DataFrame(columns)


def main() -> None:
    """Write the table as CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("wide.csv"))
    arguments = parser.parse_args()
    table = wide_table(arguments.rows, seed=arguments.seed)
    table.write_csv(arguments.output)
    share = float(table["bought"].to_numpy().mean())
    print(f"{arguments.output}: {table.height:,} rows, {share:.1%} positive")


if __name__ == "__main__":
    main()
