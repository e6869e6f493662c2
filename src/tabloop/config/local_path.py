"""A path of this machine: a URL in its place would silently become a folder of that name."""

from __future__ import annotations

import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def is_url(text: str) -> bool:
    """Tell whether this is a URL rather than a path of this machine.

    Examples
    --------
    >>> is_url("s3://bucket/march"), is_url("data/march")
    (True, False)
    """
    return _URL.match(text) is not None


def require_local_path(text: str) -> str:
    """Give a path back, or raise `ValueError` when it is a URL.

    Examples
    --------
    >>> require_local_path("artifacts")
    'artifacts'
    >>> require_local_path("s3://bucket/artifacts")
    Traceback (most recent call last):
    ValueError: got the URL s3://bucket/artifacts, expected a path of this machine
    """
    if is_url(text):
        raise ValueError(f"got the URL {text}, expected a path of this machine")
    return text
