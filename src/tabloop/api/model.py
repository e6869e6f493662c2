"""The model of a run: frames in, probabilities and decisions out, by ONNX Runtime alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tabloop.api.frames import THE_FRAME, FrameRows, GivenFrame, Table, read_frame
from tabloop.api.html import table, titled
from tabloop.artifacts.layout import MANIFEST, PIPELINE
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.contract.contract import Contract
from tabloop.cores import cpu_count
from tabloop.data.checked_rows import read_checked_rows
from tabloop.data.quarantine import Quarantine
from tabloop.errors import DataError
from tabloop.explanation.row_explainer import row_explainer
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import (
    Decisions,
    ScoringService,
    decide_side_by_side,
    load_service,
    load_tested_service,
)
from tabloop.scoring.batch import REFUSED, score_rows_in_place

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DEFAULT_FOLDER = Path("artifacts")


def load(where: str | Path = _DEFAULT_FOLDER, run: str | None = None) -> Model:
    """Load the champion, or the model of another run.

    It needs ONNX Runtime only: no scikit-learn, and nothing is unpickled.

    Parameters
    ----------
    where : path, default="artifacts"
        An artifact folder, for its champion; or the folder of a run. Where there is no such path, the name
        of a run in `artifacts`.
    run : str, optional
        A run in the artifact folder: its name, or a beginning or end of it that no other has.

    Returns
    -------
    model : Model

    Raises
    ------
    ArtifactMissingError
        If there is no such run, or no champion yet.
    ArtifactError
        If nothing was exported.
    HashMismatchError
        If a file is not the recorded one.

    Examples
    --------
    >>> load("no_such_folder/artifacts")
    Traceback (most recent call last):
    tabloop.errors.ArtifactMissingError: no_such_folder/artifacts: no champion yet; ...
    """
    path = Path(where)
    if run is None and not path.exists() and _DEFAULT_FOLDER.is_dir() and path.name == str(where):
        path, run = _DEFAULT_FOLDER, str(where)
    if run is not None:
        folder = RunStore(path).get(run)
    elif (path / MANIFEST).is_file():
        folder = RunFolder(path.resolve())
    else:
        folder = RunStore(path).require_champion()
        return Model(folder, load_tested_service(folder))
    return Model(folder, load_service(folder, released_only=False))


class Model:
    """A run's exported model; `load` gives one.

    Parameters
    ----------
    folder : RunFolder
        The run.
    service : ScoringService
        Its graph and threshold.
    """

    def __init__(self, folder: RunFolder, service: ScoringService) -> None:
        self.folder = folder
        self._service = service
        self._data_config = folder.config.data

    @property
    def run_id(self) -> str:
        """The run that the model was loaded from."""
        return self._service.run_id

    @property
    def threshold(self) -> float:
        """Decisions are `probability >= threshold`."""
        return self._service.threshold

    @property
    def contract(self) -> Contract:
        """What a valid row is."""
        return self._service.contract

    def predict_proba(self, frame: Table) -> NDArray[np.float64]:
        """Give the probabilities of the two classes, as a scikit-learn classifier does.

        Parameters
        ----------
        frame : pandas, Polars or Arrow frame with n_rows rows
            The contract's columns; others are not looked at.

        Returns
        -------
        proba : ndarray of float64, shape (n_rows, 2)
            The probability of the negative class and that of the positive one.

        Raises
        ------
        DataError
            If the columns are not the contract's, or it refuses a row; all problems in one message.
        """
        positive = self._decide(read_frame(frame)).probability
        return np.column_stack([1.0 - positive, positive])

    def decide(self, frame: Table) -> Any:
        """Decide on each row: the probability of the positive class, and 1 where it reaches the threshold.

        Parameters
        ----------
        frame : pandas, Polars or Arrow frame with n_rows rows
            As for `predict_proba`.

        Returns
        -------
        decisions : frame of the same kind with n_rows rows
            Two columns, named as the service and `tabloop score` name them, such as
            `predicted_churned_probability` and `predicted_churned`; in pandas under the same index.

        Raises
        ------
        DataError
            As `predict_proba` does.
        """
        given = read_frame(frame)
        decisions = self._decide(given)
        return given.answer(
            pl.DataFrame(
                {
                    self.contract.probability_name: decisions.probability,
                    self.contract.decision_name: decisions.label,
                }
            )
        )

    def score_batch(self, batch: Table) -> Any:
        """Answer each row of a batch, for engines that hand batches out: Spark, Dask, DuckDB, Polars.

        One call uses one thread, since the engine has one for each batch. A row that the contract refuses
        raises nothing: it stays, without an answer. What `tabloop score` gives each row, to the bit.

        Parameters
        ----------
        batch : Arrow table or record batch, Polars or pandas frame with n_rows rows
            The contract's columns; others are not looked at.

        Returns
        -------
        answered : batch of the same kind with n_rows rows
            Its columns, the probability (double), the decision (int8), and `refused` (text): null, or why the
            contract refuses the row; then the other two are null.

        Raises
        ------
        DataError
            If the columns are not the contract's, or one of them is named as an answer.

        Examples
        --------
        >>> load("artifacts").score_batch(pl.DataFrame({"minutes": [300.0, None]}))["refused"].to_list()
        [None, 'minutes: null']
        """
        given = read_frame(batch)
        answers = score_rows_in_place(self._service, self._data_config, FrameRows(given.rows))
        if given.kind == "arrow":  # its columns stay as they are, to their types
            added = answers.to_arrow()
            for name in answers.columns:
                column = added[name].combine_chunks()
                column = column.cast("string") if name == REFUSED else column
                batch = batch.append_column(name, column)
            return batch
        if given.kind == "pandas":  # the same types in every batch, one without rows or refusals, too
            import pandas

            probability, decision, refused = answers.get_columns()
            return batch.assign(
                **{
                    probability.name: probability.to_numpy(),
                    decision.name: pandas.array(decision.to_list(), dtype="Int8"),
                    refused.name: pandas.array(refused.to_list(), dtype="string"),
                }
            )
        return given.answer(given.rows.hstack(answers.get_columns()))

    def explain(self, frame: Table) -> Any:
        """Say of each row what each column contributed to the model's answer.

        Parameters
        ----------
        frame : pandas, Polars or Arrow frame with n_rows rows
            As for `predict_proba`.

        Returns
        -------
        contributions : frame of the same kind with n_rows rows
            The probability; the base, named by the unit: `base_log_odds` for a boosted or linear model,
            `base_probability` for a forest and any other, `base_score` where a map makes a probability of the
            sum; one contribution a column, by its name; and `standard_error`, 0 where they are exact. Base
            and contributions add up to what the model gave the row, in that unit.

        Raises
        ------
        ArtifactError
            If the run is from a version that kept nothing to explain with.
        DataError
            As `predict_proba` does.

        Examples
        --------
        >>> explained = load("artifacts").explain(pl.DataFrame({"minutes": [300.0, 20.0]}))
        >>> explained.columns
        ['predicted_bought_probability', 'base_probability', 'minutes', 'standard_error']
        >>> explained["minutes"].round(2).to_list()
        [0.47, -0.28]
        """
        given = read_frame(frame)
        columns = self._columns_of(given)
        explained = row_explainer(self.folder, self._service).explain(columns)
        probability = self._service.predictor.predict(columns)
        return given.answer(explained.as_frame(self.contract.probability_name, probability))

    def _decide(self, given: GivenFrame) -> Decisions:
        columns = self._columns_of(given)
        with ThreadPoolExecutor(cpu_count()) as pool:
            return decide_side_by_side(self._service, columns, pool)

    def _columns_of(self, given: GivenFrame) -> dict[str, NDArray[Any]]:
        """Check the rows and give the graph's inputs."""
        contract, quarantine = self.contract, Quarantine(self._data_config.limits)
        checked_rows = read_checked_rows(
            FrameRows(given.rows),
            self._data_config,
            contract,
            quarantine,
            with_target=False,
            extra_allowed=True,
        )
        parts = [columns_of_frame(contract, checked.typed) for checked in checked_rows]
        if quarantine.rows:
            raise DataError(
                f"{THE_FRAME}: the contract refuses {quarantine.rows:,} of {given.rows.height:,} rows "
                f"(the first is line 1)\n{quarantine.describe()}\n"
                "Mend them or leave them out; no row was decided on."
            )
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def as_sklearn(self) -> Any:
        """Load the fitted scikit-learn pipeline, from raw columns to decisions at the threshold.

        `clone` and `cross_val_score` take it. It unpickles the run's own file, whose hash is checked first:
        load only what you trust.

        Returns
        -------
        pipeline : sklearn.pipeline.Pipeline
            Takes frames of the contract's columns; its classes are 0 and 1.
        """
        import joblib

        return joblib.load(self.folder.checked_path(PIPELINE))

    def __repr__(self) -> str:
        n_columns = len(self.contract.columns)
        return f"<Model of run {self.run_id}: {n_columns} columns, threshold {self.threshold:.4f}>"

    def _repr_html_(self) -> str:
        contract = self.contract
        said = (
            f"{contract.decision_name} is 1 where {contract.probability_name} reaches {self.threshold:.4f}; "
            f"run {self.folder.state}"
        )
        columns = [
            [name, column.type, column.nullable, column.describe_limits()]
            for name, column in contract.columns.items()
        ]
        return titled(f"model {self.run_id}", said, table(["column", "type", "nullable", "limits"], columns))
