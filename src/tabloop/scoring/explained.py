"""Explain the answers to the rows of a file or table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.data.checked_rows import read_checked_rows
from tabloop.data.open_source import named_input, open_source
from tabloop.data.quarantine import Quarantine, require_few_refused
from tabloop.errors import DataError
from tabloop.explanation.contributions import Contributions
from tabloop.explanation.row_explainer import row_explainer
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import ScoringService, load_service

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ExplainedRows:
    """Rows and what each column contributed to their answers.

    Attributes
    ----------
    service : ScoringService
        What answered.
    row_numbers : ndarray of int64, shape (n_rows,)
        Where each row stands in the source, from 1; those between were refused.
    values : polars.DataFrame with n_rows rows
        The rows in the contract's types.
    probability : ndarray of float64, shape (n_rows,)
        The probability of the positive class.
    contributions : Contributions
        Why.
    quarantine : Quarantine
        The refused rows.
    """

    service: ScoringService
    row_numbers: NDArray[np.int64]
    values: pl.DataFrame
    probability: NDArray[np.float64]
    contributions: Contributions
    quarantine: Quarantine

    def reasons(self, row: int, most: int) -> list[tuple[str, Any, float]]:
        """Give the columns that contributed most to a row: name, value, contribution; the largest first."""
        shares = self.contributions.values[row]
        order = np.argsort(-np.abs(shares), kind="stable")[:most]
        names = self.contributions.columns
        return [(names[at], self.values[names[at]][row], float(shares[at])) for at in order]

    def as_frame(self) -> pl.DataFrame:
        """Give all contributions, a row each; see `Contributions.as_frame`."""
        frame = self.contributions.as_frame(self.service.contract.probability_name, self.probability)
        name = "row"
        while name in frame.columns:
            name += "_"
        return frame.insert_column(0, pl.Series(name, self.row_numbers))


def explain_source(
    project: Project,
    run_id: str | None,
    source: str | None,
    n_rows: int | None,
    *,
    progress: Callable[[float], None] = lambda _: None,
) -> ExplainedRows:
    """Explain the answers to a source's rows.

    Parameters
    ----------
    project : Project
        Every setting in force.
    run_id : str or None
        A run that has passed; None for the champion.
    source : str or None
        A file, or `table:NAME`; None for the configured source.
    n_rows : int or None
        How many rows from the beginning; None for all.
    progress : callable, optional
        Told the fraction that is explained.

    Raises
    ------
    ArtifactError
        If the run kept nothing to explain with.
    DataError, QuarantineLimitError
        If the source cannot be read, its columns are not the contract's, or too many rows are refused.
    """
    config, folder = named_input(project.config.data, project.folder, source)
    store = RunStore(project.model_dir)
    run = store.get_or_champion(run_id)
    service = load_service(run)
    explainer = row_explainer(run, service)
    quarantine, read = Quarantine(config.limits), 0
    typed, numbers = [], []
    with contextlib.closing(
        open_source(config.source, folder, service.contract, limits=config.limits, with_target=False)
    ) as rows:
        extra_allowed = project.config.scoring.extra_columns == "pass"
        for checked in read_checked_rows(
            rows, config, service.contract, quarantine, with_target=False, extra_allowed=extra_allowed
        ):
            typed.append(checked.typed)
            numbers.append(checked.places + read + 1)
            read += checked.rows_checked
            if n_rows is not None and sum(map(len, numbers)) >= n_rows:
                break
        where = rows.where
    require_few_refused(
        where, quarantine.rows, read, config, described=quarantine.describe(), then="No row was explained."
    )
    if not sum(map(len, numbers)):
        raise DataError(f"{where}: has no row to explain; {quarantine.rows:,} were refused")
    values = pl.concat(typed)[:n_rows]
    columns: Mapping[str, NDArray[Any]] = columns_of_frame(service.contract, values)
    contributions = explainer.explain(columns, progress)
    return ExplainedRows(
        service,
        np.concatenate(numbers)[:n_rows],
        values,
        service.predictor.predict(columns),
        contributions,
        quarantine,
    )
