"""A path of this machine: a URL in its place would silently become a folder of that name."""

from __future__ import annotations

import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


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
    if _URL.match(text):
        raise ValueError(f"got the URL {text}, expected a path of this machine")
    return text
