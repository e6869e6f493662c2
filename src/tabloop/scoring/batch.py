"""Batches of another engine (Spark, Dask, DuckDB): each row gets an answer, or the reason why not."""

from __future__ import annotations

import numpy as np
import polars as pl

from tabloop.config.data import DataConfig
from tabloop.data.checked_rows import judge_rows, require_source_columns
from tabloop.data.row_source import Chunk, RowSource
from tabloop.errors import DataError
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import ScoringService

#: The column that says why a row has no answer.
REFUSED = "refused"


def score_rows_in_place(service: ScoringService, config: DataConfig, source: RowSource) -> pl.DataFrame:
    """Answer every row of a source, in its order, on one thread.

    Parameters
    ----------
    service : ScoringService
        What decides.
    config : DataConfig
        The settings that say which columns are left out.
    source : RowSource
        The rows.

    Returns
    -------
    answers : polars.DataFrame with n_rows rows
        Probability and decision, null where the contract refuses the row, and `refused`, which says why and
        is null elsewhere.

    Raises
    ------
    DataError
        If the columns are not the contract's, or one of them is named as an answer.
    """
    contract = service.contract
    names = (contract.probability_name, contract.decision_name, REFUSED)
    taken = sorted(set(names) & set(source.columns))
    if taken:
        raise DataError(f"{source.where}: has columns named {', '.join(taken)} already")
    require_source_columns(source, config, contract, with_target=False, extra_allowed=True)
    answers = [_answer(service, chunk) for chunk in source.chunks()]
    return pl.concat(answers).rename(dict(zip(_NAMES, names, strict=True)))


_NAMES = ("probability", "decision", "reason")


def _answer(service: ScoringService, chunk: Chunk) -> pl.DataFrame:
    n_rows = chunk.frame.height
    checked, refused = judge_rows(chunk, service.contract, with_target=False, most_described_rows=n_rows)
    decisions = service.decide(columns_of_frame(service.contract, checked.typed))
    probability, decision = np.full(n_rows, np.nan), np.zeros(n_rows, dtype=np.int8)
    probability[checked.places], decision[checked.places] = decisions.probability, decisions.label
    is_answered = np.zeros(n_rows, dtype=np.bool_)
    is_answered[checked.places] = True
    reasons: list[str | None] = [None] * n_rows
    for row in refused.described:
        reasons[row.line - 1] = "; ".join(f"{each['column']}: {each['reason']}" for each in row.problems)
    return pl.DataFrame(
        [pl.Series("probability", probability), pl.Series("decision", decision),
         pl.Series("reason", reasons, dtype=pl.String)]
    ).with_columns(pl.when(pl.Series(is_answered)).then(pl.col("probability", "decision")))  # fmt: skip
