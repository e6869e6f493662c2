"""Let Evidently or NannyML judge windows at its defaults, in its own venv, for benchmarks/drift.py.

The folder holds `00000.csv`, the reference, and a file for each window. The last line printed is a JSON list:
for each window the number and the share of drifted columns.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pandas as pd


def read(path: Path) -> Any:
    """Read as written: an empty field is null, NA is Namibia."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def evidently(reference: Any, windows: list[Any]) -> list[tuple[float, float]]:
    """Count the drifted columns, by the preset."""
    from evidently import DataDefinition, Dataset, Report  # type: ignore[import-not-found]
    from evidently.presets import DataDriftPreset  # type: ignore[import-not-found]

    texts = [name for name in reference.columns if reference[name].dtype.kind not in "if"]
    numbers = [name for name in reference.columns if name not in texts]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=texts)

    def dataset(frame: Any) -> Any:
        return Dataset.from_pandas(frame, data_definition=definition)

    known, verdicts = dataset(reference), []
    for window in windows:
        metrics = Report([DataDriftPreset()]).run(dataset(window), known).dict()["metrics"]
        drifted = next(m["value"] for m in metrics if "DriftedColumnsCount" in str(m))
        verdicts.append((float(drifted["count"]), float(drifted["share"])))
    return verdicts


def nannyml(reference: Any, windows: list[Any]) -> list[tuple[float, float]]:
    """Count the alerts of the univariate calculator."""
    import nannyml as nml  # type: ignore[import-not-found]

    names, verdicts = list(reference.columns), []
    calculator = nml.UnivariateDriftCalculator(column_names=names, chunk_size=max(map(len, windows)))
    calculator.fit(reference)
    for window in windows:
        table = calculator.calculate(window).filter(period="analysis").to_df()
        alerts = [column for column in table.columns if column[-1] == "alert"]
        count = float(table[alerts].to_numpy().astype(bool).any(axis=0).sum())
        verdicts.append((count, count / len(names)))
    return verdicts


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    name, folder = sys.argv[1], Path(sys.argv[2])
    reference, *windows = [read(path) for path in sorted(folder.glob("*.csv"))]
    print(json.dumps((evidently if name == "evidently" else nannyml)(reference, windows)))
