"""Patterns of texts, matched in time that grows with the text and never faster than it.

The engine is Rust's `regex`, which pydantic brings along: no text can make it search for minutes, as
`([A-Z]+)+` and 60 letters make Python's `re`. It has no look-around and no backreferences for that reason.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, core_schema


@lru_cache(maxsize=1024)
def whole_text_matcher(pattern: str) -> Callable[[str], bool]:
    r"""Compile a pattern to what tells whether a whole text matches it.

    Only what Python's `re` reads as well is taken, so that samples can be drawn and the pattern means what
    its author is used to.

    Raises
    ------
    ValueError
        If it is no regular expression, or asks for what takes more than linear time.

    Examples
    --------
    >>> is_country = whole_text_matcher("[A-Z]{2}")
    >>> is_country("NA"), is_country("NAM"), is_country("NA\n")
    (True, False, False)
    >>> whole_text_matcher("(a)\\1")
    Traceback (most recent call last):
    ValueError: (a)\1: backreferences are not supported; patterns are matched in linear time, ...
    """
    try:
        with warnings.catch_warnings():
            # it warns of sets such as `[[`, whose meaning will change
            warnings.simplefilter("error", FutureWarning)
            re.compile(pattern)
    except (re.error, FutureWarning, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern}: not a regular expression: {error}") from error
    _compile(pattern)
    return _compile(rf"\A(?:{pattern})\z", named=pattern).isinstance_python


def _compile(pattern: str, *, named: str | None = None) -> SchemaValidator:
    try:
        return SchemaValidator(
            core_schema.str_schema(pattern=pattern, regex_engine="rust-regex", strict=True)
        )
    except SchemaError as error:
        reason = str(error).strip().splitlines()[-1].strip().removeprefix("error:").strip()
        raise ValueError(
            f"{named or pattern}: {reason}; patterns are matched in linear time, by Rust's regex, "
            "which has neither look-around nor backreferences"
        ) from error
