"""What is kept of an event that cannot be decided, as bytes that any broker takes."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

import msgspec

from tabloop.artifacts.files import utc_now
from tabloop.streaming.events import RefusedEvent

# What a letter that is too long keeps of its problems
_SHORT_PROBLEMS, _SHORT_PROBLEM_CHARACTERS = 10, 200


class _Letter(msgspec.Struct, omit_defaults=True):
    event_id: str | None
    reason: str
    problems: tuple[str, ...]
    refused_at: str
    run_id: str
    position: str = ""
    body: str | None = None
    body_base64: str | None = None
    body_bytes: int | None = None
    body_sha256: str | None = None


_decode = msgspec.json.Decoder(_Letter).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class DeadLetter:
    """An event that cannot be decided, with the reason.

    Parameters
    ----------
    refused : RefusedEvent
        The event and what is wrong with it.
    run_id : str
        The run that would have decided it.
    refused_at : str, optional
        The time of the refusal; by default now, in UTC.
    """

    refused: RefusedEvent
    run_id: str
    refused_at: str = field(default_factory=utc_now)

    @property
    def key(self) -> str:
        """Name the letter: the same event refused again has the same key.

        With the body in the key, two different events that share an id by mistake both keep their letter.
        """
        refused = self.refused
        position = refused.delivery.position if refused.event_id is None else ""
        return f"{refused.reason}.{position}.{self._sha256[:32]}"

    @property
    def _sha256(self) -> str:
        return hashlib.sha256(self.refused.delivery.body).hexdigest()

    def encode(self, most_bytes: int | None = None) -> bytes:
        """Write the letter as JSON: complete, or its beginning with the size and the hash of the whole.

        Parameters
        ----------
        most_bytes : int, optional
            The longest message that the broker takes. Below about 1,000 even the bare reason may not fit.

        Returns
        -------
        letter : bytes
            The event is in `body`, or in `body_base64` where it is no UTF-8 text. A letter that would be
            longer than `most_bytes` holds the beginning of the event, and `body_bytes` and `body_sha256`
            of all of it.
        """
        refused = self.refused
        letter = _Letter(
            refused.event_id, refused.reason, refused.problems, self.refused_at, self.run_id,
            refused.delivery.position,
        )  # fmt: skip
        whole = refused.delivery.body
        try:
            letter.body = whole.decode()
        except UnicodeDecodeError:
            letter.body_base64 = base64.b64encode(whole).decode()
        content = _encode(letter)
        if most_bytes is None or len(content) <= most_bytes:
            return content
        letter.body_bytes, letter.body_sha256 = len(whole), self._sha256
        letter.problems = tuple(
            each[:_SHORT_PROBLEM_CHARACTERS] for each in refused.problems[:_SHORT_PROBLEMS]
        )
        kept = min(len(whole), most_bytes)
        while len(content := _encode(_with_beginning(letter, whole, kept))) > most_bytes and kept:
            kept = kept * 3 // 4  # JSON escapes make some texts longer, by an unknown amount
        return content


def _with_beginning(letter: _Letter, whole: bytes, n_bytes: int) -> _Letter:
    if letter.body is None:
        letter.body_base64 = base64.b64encode(whole[:n_bytes]).decode()
    else:
        letter.body = whole[:n_bytes].decode(errors="ignore")
    return letter


def body_of_dead_letter(letter: bytes) -> bytes:
    """Give the event that a dead letter holds, as it came; a letter that is none is taken for an event.

    A letter that was cut holds no event any more: it is given as it is, and so refused again.

    Examples
    --------
    >>> from tabloop.streaming.events import Delivery
    >>> refused = RefusedEvent(Delivery(b"no json", None), "invalid", ("no JSON",))
    >>> body_of_dead_letter(DeadLetter(refused, "run").encode())
    b'no json'
    """
    try:
        read = _decode(letter)
    except msgspec.DecodeError:
        return letter
    if read.body_bytes is not None:
        return letter
    return base64.b64decode(read.body_base64 or "") if read.body is None else read.body.encode()
