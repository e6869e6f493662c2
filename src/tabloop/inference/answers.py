"""The JSON of an answer: what `POST /predict` gives and what a stream publishes, written here for both."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import starmap
from typing import Any

import msgspec

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
    >>> writer.answer(0.5, 1, "p1").decode()
    '{"predicted_bought_probability":0.5,"predicted_bought":1,"prediction_id":"p1","run_id":"20261123T2115"}'
    >>> writer.events([("a1", 0.5, 1, "p1")])[0][:40]
    b'{"event_id":"a1","predicted_bought_proba'
    """

    def __init__(self, contract: Contract, run_id: str) -> None:
        # classes made for these names: one call of the encoder writes any number of answers
        names = {"probability": contract.probability_name, "label": contract.decision_name}
        fields: list[Any] = [("probability", float), ("label", int), ("prediction_id", str)]
        fields.append(("run_id", str, run_id))
        self._answer = msgspec.defstruct("Answer", fields, rename=names, gc=False)
        self._event = msgspec.defstruct("EventAnswer", [("event_id", str), *fields], rename=names, gc=False)
        encoder = msgspec.json.Encoder()
        self._encode: Callable[[Any], bytes] = encoder.encode
        self._encode_lines: Callable[[Any], bytes] = encoder.encode_lines

    def answer(self, probability: float, label: int, prediction_id: str) -> bytes:
        """Write the answer to one record."""
        return self._encode(self._answer(probability, label, prediction_id))

    def answers(self, decisions: Iterable[tuple[float, int, str]]) -> bytes:
        """Write the answer to several records, in their order."""
        return self._encode({"predictions": list(starmap(self._answer, decisions))})

    def events(self, decisions: Iterable[tuple[str, float, int, str]]) -> list[bytes]:
        """Write the answer to each of several records of a stream, with the id of its event in front."""
        # a line end within a text is written as `\n`
        return self._encode_lines(list(starmap(self._event, decisions))).split(b"\n")[:-1]
