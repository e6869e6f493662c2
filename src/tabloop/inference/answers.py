"""The JSON of an answer: what `POST /predict` gives and what a stream publishes, written here for both."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tabloop.contract.contract import Contract


class AnswerWriter:
    """Writes the decisions of one run as JSON.

    Parameters
    ----------
    contract : Contract
        Names the fields.
    run_id : str
        The run that decided.

    Examples
    --------
    >>> writer = AnswerWriter(Contract.from_dict({"columns": {"days": {"type": "integer"}},
    ...                                           "target": {"name": "bought"}}), "20261123T2115")
    >>> writer.answer(0.5, 1, "p1")
    '{"predicted_bought_probability":0.5,"predicted_bought":1,"prediction_id":"p1","run_id":"20261123T2115"}'
    >>> writer.event("a1", 0.5, 1, "p1")[:40]
    '{"event_id":"a1","predicted_bought_proba'
    """

    def __init__(self, contract: Contract, run_id: str) -> None:
        # laid out for the `%` operator: `%r` of a float is its shortest exact JSON
        probability, label, run = (
            json.dumps(text, ensure_ascii=False).replace("%", "%%")
            for text in (contract.probability_name, contract.decision_name, run_id)
        )
        self._fields = f'{probability}:%r,{label}:%d,"prediction_id":"%s","run_id":{run}}}'

    def answer(self, probability: float, label: int, prediction_id: str) -> str:
        """Write the answer to one record."""
        return "{" + self._fields % (probability, label, prediction_id)

    def answers(self, decisions: Iterable[tuple[float, int, str]]) -> str:
        """Write the answer to several records, in their order."""
        form = self._fields
        return '{"predictions":[' + ",".join(["{" + form % each for each in decisions]) + "]}"

    def event(self, event_id: str, probability: float, label: int, prediction_id: str) -> str:
        """Write the answer to one record of a stream, with the id of its event."""
        named = json.dumps(event_id, ensure_ascii=False)
        return f'{{"event_id":{named},' + self._fields % (probability, label, prediction_id)
