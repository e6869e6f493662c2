"""The answer to `POST /explain`."""

from __future__ import annotations

from tabloop.artifacts.run import RunFolder
from tabloop.explanation.explained_record import ExplainedRecord
from tabloop.explanation.row_explainer import row_explainer
from tabloop.inference.records.codec import RecordCodec
from tabloop.inference.scoring_service import load_service


class RecordExplainer:
    """Explains a run's answers to records.

    Parameters
    ----------
    run : RunFolder
        It was released.

    Raises
    ------
    ArtifactError
        If it kept nothing to explain with.
    """

    def __init__(self, run: RunFolder) -> None:
        self._service = load_service(run)
        self._explainer = row_explainer(run, self._service)
        self._codec = RecordCodec(self._service.contract)

    @property
    def run_id(self) -> str:
        """The run."""
        return self._service.run_id

    def explain(self, body: bytes) -> ExplainedRecord:
        """Explain the answer to one record in JSON.

        Raises
        ------
        RecordError
            If the contract refuses it.
        """
        columns = self._codec.columns_of([self._codec.decode_record(body)])
        found, decided = self._explainer.explain(columns), self._service.decide(columns)
        return ExplainedRecord(
            run_id=self.run_id,
            probability=float(decided.probability[0]),
            decision=int(decided.label[0]),
            unit=found.unit,
            base=found.base,
            contributions=dict(zip(found.columns, found.values[0].tolist(), strict=True)),
            standard_error=float(found.standard_error[0]),
        )
