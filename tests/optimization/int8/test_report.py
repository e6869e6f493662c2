"""A verdict follows from sizes, intervals and parity; timing ends when it should."""

from __future__ import annotations

from typing import Any

import polars as pl
from tests.optimization.fitted_pipelines import fit_pipeline, named

from tabloop.contract.contract import Contract
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.optimization.export.pipeline import export_pipeline, save_model
from tabloop.optimization.int8.report import measure_latency


def test_timing_ends_and_meets_other_rows_each_time(contract: Contract, students: pl.DataFrame) -> None:
    rows = students.head(500)
    pipeline = fit_pipeline(contract, rows, rows["purchased"].to_numpy(), named("logistic_regression"))
    predictor = Predictor(save_model(export_pipeline(pipeline, contract)))
    seen: list[bytes] = []

    class Watching(Predictor):
        def __init__(self) -> None: ...

        def predict(self, columns: Any) -> Any:
            seen.append(columns["minutes_watched"].tobytes())
            return predictor.predict(columns)

    columns = columns_of_frame(contract, rows)
    found = measure_latency(
        {"int8": Watching(), "fp32": predictor}, columns, 700, rounds=3, confidence=0.95, timed_s=0.0
    )
    assert (found.rounds, found.calls, found.batch_size) == (10, 10, 700)  # more than there are rows
    assert len(set(seen)) == len(seen) == 11
    ratio = found.speedup_over_fp32
    assert ratio is not None
    assert 0 < ratio.low <= ratio.value <= ratio.high
    longest = measure_latency(
        {"int8": predictor, "fp32": predictor}, columns, 1, rounds=3, confidence=0.95, timed_s=60.0
    )
    assert longest.rounds == 60
