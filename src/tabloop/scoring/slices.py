"""Slices of rows: checked and scored side by side, one on each core, given back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import polars as pl

from tabloop.config.data import DataConfig
from tabloop.data.checked_rows import RefusedRows, has_decimal_comma, judge_rows
from tabloop.data.row_source import Chunk
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import ScoringService
from tabloop.scoring.reasons import Reasons

# Slices that wait beside those that the cores are at: reading and writing go on meanwhile
_AHEAD = 2


@dataclass(frozen=True)
class ScoredSlice:
    """What became of some rows of a source.

    Attributes
    ----------
    frame : polars.DataFrame with n_scored rows
        The rows as they were read, then the answers.
    positive_rows : int
        How many of them are decided on with 1.
    refused : RefusedRows
        The others.
    """

    frame: pl.DataFrame
    positive_rows: int
    refused: RefusedRows

    @property
    def rows_read(self) -> int:
        """How many rows there were."""
        return self.frame.height + self.refused.rows


@dataclass(frozen=True)
class SliceScorer:
    """Checks and scores slices; threads may share it.

    Attributes
    ----------
    service : ScoringService
        What decides.
    config : DataConfig
        How the source is written.
    key : tuple of str
        Columns that may not be null.
    reasons : Reasons or None
        Adds the columns that spoke most for each decision.
    """

    service: ScoringService
    config: DataConfig
    key: tuple[str, ...] = ()
    reasons: Reasons | None = None

    @property
    def answers(self) -> pl.Schema:
        """The columns that it adds."""
        contract = self.service.contract
        names = () if self.reasons is None else self.reasons.names
        return pl.Schema(
            {contract.probability_name: pl.Float64(), contract.decision_name: pl.Int8()}
            | dict.fromkeys(names, pl.String())
        )

    def score(self, rows: Chunk, most_described_rows: int) -> ScoredSlice:
        """Check a slice, and score what the contract accepts, on this thread."""
        contract = self.service.contract
        checked, refused = judge_rows(
            rows, contract, with_target=False, key=self.key,
            decimal_comma=has_decimal_comma(self.config), most_described_rows=most_described_rows,
        )  # fmt: skip
        columns = columns_of_frame(contract, checked.typed)
        decisions = self.service.decide(columns)
        keys = [checked.typed[name] for name in self.key if name in contract.columns]
        frame = checked.as_read.with_columns(
            *keys,
            pl.Series(contract.probability_name, decisions.probability, dtype=pl.Float64),
            pl.Series(contract.decision_name, decisions.label, dtype=pl.Int8),
            *([] if self.reasons is None else self.reasons.of(columns, decisions)),
        )
        return ScoredSlice(frame, int(decisions.label.sum()), refused)


def score_side_by_side(
    scorer: SliceScorer,
    slices: Iterable[Chunk],
    pool: ThreadPoolExecutor,
    threads: int,
    left_to_describe: Callable[[], int],
) -> Iterator[ScoredSlice]:
    """Score slices on the threads of a pool.

    Parameters
    ----------
    scorer : SliceScorer
        Does the work.
    slices : iterable of Chunk
        Read by the caller's thread, a few ahead of what is given back.
    pool : ThreadPoolExecutor
        Each call of the graph is on one thread, so that no bit depends on how many there are.
    threads : int
        How many the pool has; a few slices more are held at a time.
    left_to_describe : callable
        Says how many refused rows are still worth describing.

    Yields
    ------
    scored : ScoredSlice
        In the order of `slices`.
    """
    waiting: deque[Future[ScoredSlice]] = deque()
    try:
        for each in slices:
            waiting.append(pool.submit(scorer.score, each, left_to_describe()))
            if len(waiting) >= threads + _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
