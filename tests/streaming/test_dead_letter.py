from __future__ import annotations

import base64
import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from tabloop.streaming.dead_letter import DeadLetter, body_of_dead_letter
from tabloop.streaming.events import Delivery, RefusedEvent


@given(
    body=st.one_of(
        st.binary(max_size=4000), st.text(max_size=2000).map(lambda text: text.encode("utf-8", "replace"))
    ),
    most_bytes=st.integers(1_000, 3_000),
    problems=st.lists(st.text(max_size=300), min_size=1, max_size=3),
)
def test_a_letter_is_complete_or_the_beginning_with_size_and_hash(
    body: bytes, most_bytes: int, problems: list[str]
) -> None:
    letter = DeadLetter(RefusedEvent(Delivery(body, None), "invalid", tuple(problems), "e1"), "run")
    content = letter.encode(most_bytes)
    told = json.loads(content)
    if len(letter.encode()) <= most_bytes:
        assert content == letter.encode()
        assert body_of_dead_letter(content) == body
        return
    # what a few problems in any script need may be more than the limit; the event itself never is
    assert len(content) <= most_bytes or not told.get("body", told.get("body_base64"))
    assert told["body_bytes"] == len(body)
    assert told["body_sha256"] == hashlib.sha256(body).hexdigest()
    kept = base64.b64decode(told["body_base64"]) if "body_base64" in told else told["body"].encode()
    assert body.startswith(kept)
    assert body_of_dead_letter(content) == content  # it holds no event that could be decided
