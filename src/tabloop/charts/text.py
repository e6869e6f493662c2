"""Text in charts and pages: what strangers wrote made harmless and short, numbers as people read them."""

from __future__ import annotations

import math
import unicodedata

#: Controls, lone surrogates, and characters that turn the direction of the text around them.
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NARROW, _WIDE = frozenset("iljt.,:;'|!()[]fI r-"), frozenset("mwMW@%<>=+~\u2014")


def visible(text: str, limit: int = 80) -> str:
    r"""Make a stranger's text fit to show: no control characters, and no longer than a limit.

    A character that would turn the direction of what follows, or that no document may hold, is shown as the
    replacement character; a text that is cut says how long it was. It does not escape: who writes a document
    does.

    Examples
    --------
    >>> visible("a\x00b\u202ec"), visible("x" * 10_000, 12)
    ('a�b�c', 'xxxxxxxxxxxx… (10,000 characters)')
    """
    kept = text[:limit]
    if not kept.isprintable():  # nothing that is printable is replaced
        kept = "".join(
            "�" if character in _TURNING or unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co")
            or character in "\ufffe\uffff" else character
            for character in kept
        )  # fmt: skip
    return kept if len(text) <= limit else f"{kept}… ({len(text):,} characters)"


def brief(text: str, limit: int = 60) -> str:
    """Cut a stranger's text to so many characters, for a title that has to stay short.

    Examples
    --------
    >>> brief("country"), brief("x" * 10_000, 8)
    ('country', 'xxxxxxxx…')
    """
    return visible(text, limit) if len(text) <= limit else visible(text[:limit], limit) + "…"


def isolated(text: str) -> str:
    """Keep a text's direction to itself, by Unicode's isolates, where there is no `bdi`."""
    return f"\u2068{text}\u2069"


def text_width(text: str, size: float) -> float:
    """Estimate how wide a text is, in pixels; rather too wide, since the reader's font is unknown.

    Examples
    --------
    >>> round(text_width("forest", 10.0))
    31
    """
    return size * sum(
        1.0 if unicodedata.east_asian_width(c) in "WF"
        else 0.34 if c in _NARROW else 0.9 if c in _WIDE else 0.7 if c.isupper() else 0.58
        for c in text
    ) * 1.12  # fmt: skip


def shortened(text: str, width: float, size: float) -> str:
    """Cut a text to a width in pixels; the cut is seen."""
    text = visible(text, 200)
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def number_text(value: float | None, digits: int = 4) -> str:
    """Write a number with so many significant digits and no exponent where it can be helped.

    Examples
    --------
    >>> number_text(12345.678), number_text(0.98765), number_text(1e-9), number_text(None), number_text(0.0)
    ('12,346', '0.9877', '1e-09', '-', '0')
    """
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e12:
        return f"{value:.{max(0, digits - 2)}g}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent_text(value: float | None) -> str:
    """Write a fraction as a percentage.

    Examples
    --------
    >>> percent_text(0.9), percent_text(None)
    ('90.0%', '-')
    """
    return "-" if value is None or math.isnan(value) else f"{value:.1%}"
