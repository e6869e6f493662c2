"""Read a JSON body without forgiving anything: UTF-8 only, repeated keys and overflow remembered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tabloop.errors import MalformedBodyError

#: Longer integers are beyond float64, and Python takes quadratic time to read them.
_MOST_DIGITS = 400
_SHOWN_CHARACTERS = 60


class RepeatedKeysObject(dict[str, Any]):
    """A JSON object in which a key stands more than once; which value was meant, nobody can tell.

    Attributes
    ----------
    repeated : tuple of str
        The keys that do, in order.
    """

    repeated: tuple[str, ...] = ()


class OverflowedNumber(float):
    """A number beyond float64, hence infinite, which remembers how it was written."""

    token: str = ""


def read_json(body: bytes) -> Any:
    """Decode a body of UTF-8 JSON to plain values.

    `NaN` and `Infinity`, which are no JSON but which some writers emit, are read as the floats they
    mean: whoever checks the values can name the field. Lone surrogates in escapes come through too.

    Parameters
    ----------
    body : bytes
        The whole text, without byte order mark.

    Returns
    -------
    value : object
        As from `json.loads`; an object with repeated keys is a `RepeatedKeysObject`, a number beyond
        float64 an `OverflowedNumber`.

    Raises
    ------
    MalformedBodyError
        If the body is no JSON, not UTF-8, or nested too deeply.

    Examples
    --------
    >>> read_json(b'{"a": 1, "a": 2}').repeated
    ('a',)
    >>> read_json(b'{"a": 1,}')
    Traceback (most recent call last):
    tabloop.errors.MalformedBodyError: not JSON: expecting property name enclosed in double quotes (byte 8)
    """
    return _read(body, _remembering)


def read_strict_json(body: bytes) -> Any:
    """Decode a body as `read_json` does, and refuse a key that stands twice in one object, wherever that is.

    For bodies in which nobody names the field later: envelopes and protocols around records.

    Raises
    ------
    MalformedBodyError
        Also if a key is repeated.

    Examples
    --------
    >>> read_strict_json(b'{"inputs": [{"name": "a", "name": "b"}]}')
    Traceback (most recent call last):
    tabloop.errors.MalformedBodyError: the key 'name' stands twice in one object, expected it once
    """
    return _read(body, _refusing)


def _read(body: bytes, build_object: Callable[[list[tuple[str, Any]]], dict[str, Any]]) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBodyError(f"not UTF-8: {error.reason}", error.start) from error
    if not text.strip(" \t\r\n"):
        raise MalformedBodyError("the body is empty, expected JSON")
    try:
        return json.loads(text, object_pairs_hook=build_object, parse_int=_integer, parse_float=_float)
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        raise MalformedBodyError(f"not JSON: {reason}", len(text[: error.pos].encode())) from error
    except RecursionError as error:
        raise MalformedBodyError("nested too deeply, expected a flat object of columns") from error


def _refusing(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = _remembering(pairs)
    if isinstance(read, RepeatedKeysObject):
        key = read.repeated[0][:_SHOWN_CHARACTERS].encode("utf-8", "backslashreplace").decode()
        raise MalformedBodyError(f"the key {key!r} stands twice in one object, expected it once")
    return read


def _remembering(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for key, _ in pairs:
        if key in seen:
            repeated[key] = None
        seen.add(key)
    marked = RepeatedKeysObject(plain)
    marked.repeated = tuple(repeated)
    return marked


def _integer(token: str) -> float:
    return int(token) if len(token) <= _MOST_DIGITS else _overflowed(token)


def _float(token: str) -> float:
    number = float(token)
    return _overflowed(token) if number in (float("inf"), float("-inf")) else number


def _overflowed(token: str) -> OverflowedNumber:
    number = OverflowedNumber(token)
    number.token = token
    return number
