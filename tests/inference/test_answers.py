"""The one writer of answers: valid JSON with exact numbers, whatever the names, for HTTP and streams alike."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tabloop.contract.contract import Contract
from tabloop.inference.answers import AnswerWriter

probabilities = st.floats(0, 1)


def writer_of(name: str) -> AnswerWriter:
    return AnswerWriter(
        Contract.from_dict({"columns": {"n": {"type": "integer"}}, "target": {"name": name}}), "20261123%d"
    )


@given(
    st.sampled_from(["y", "kauft_%s_ä", "größe 100 %"]), st.lists(st.tuples(probabilities, st.integers(0, 1)))
)
def test_answers_are_read_back_exactly(name: str, decided: list[tuple[float, int]]) -> None:
    writer = writer_of(name)
    decisions = [(probability, label, f"id-{place}") for place, (probability, label) in enumerate(decided)]
    read = json.loads(writer.answers(decisions))["predictions"]
    assert [tuple(each.values())[:3] for each in read] == decisions
    assert all(each["run_id"] == "20261123%d" for each in read)
    assert read == [json.loads(writer.answer(*decision)) for decision in decisions]


@given(st.text(st.characters(codec="utf-8")), probabilities)
def test_an_event_is_the_answer_with_its_id(event_id: str, probability: float) -> None:
    writer = writer_of("y")
    (written,) = writer.events([(event_id, probability, 1, "p")])
    read = json.loads(written)
    assert next(iter(read)) == "event_id"
    assert read.pop("event_id") == event_id
    assert read == json.loads(writer.answer(probability, 1, "p"))
