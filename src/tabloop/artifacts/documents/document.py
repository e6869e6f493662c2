"""Write a typed document as JSON, and read it as the type that it was written from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tabloop.artifacts.files import json_bytes
from tabloop.errors import ArtifactError

FORMAT_VERSION = 1

Document = TypeVar("Document")


def json_values(value: object) -> dict[str, Any]:
    """Describe a struct, a dataclass or a mapping of them as plain JSON values."""
    described: dict[str, Any] = _listed(msgspec.to_builtins(value, enc_hook=_plain))
    return described


def answer_bytes(value: object) -> bytes:
    """Write the same as JSON in one go, and null for what JSON has no word for, infinity or NaN.

    Examples
    --------
    >>> answer_bytes({"z": float("inf"), "rows": (1, 2)})
    b'{"z":null,"rows":[1,2]}'
    """
    return msgspec.json.encode(value, enc_hook=_plain)


def _listed(value: Any) -> Any:
    """Make lists of tuples, as whoever reads the JSON gets them."""
    if isinstance(value, dict):
        return {name: _listed(each) for name, each in value.items()}
    return [_listed(each) for each in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """Write paths as texts, and numbers of NumPy as Python's."""
    return str(value) if isinstance(value, Path) else value.item()


def document_bytes(value: object) -> bytes:
    """Write a document, keys sorted; NaN and infinity raise `ValueError`."""
    return json_bytes(json_values(value))


def parse_document(content: bytes, kind: type[Document], where: str) -> Document:
    """Read a document.

    Parameters
    ----------
    content : bytes
        JSON.
    kind : type
        What it was written from. Keys that it does not know are left out.
    where : str
        Begins the error.

    Raises
    ------
    ArtifactError
        If a field is missing or of another type.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a ValidationError is a DecodeError
        raise ArtifactError(f"{where}: {error}; restore it, or train a new run with `tabloop run`") from error
