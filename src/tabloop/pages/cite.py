"""How a message cites a page: the command that shows it, and its address where the site is published."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from urllib.parse import urlsplit

_PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def cite(topic: str, section: str = "") -> str:
    """Say where more is told.

    Parameters
    ----------
    topic : str
        A page.
    section : str, optional
        The heading in it.

    Returns
    -------
    said : str
        The end of a sentence that begins with "see".

    Examples
    --------
    >>> print(cite("streams", "Passwords and TLS"))
    `tabloop docs streams`, 'Passwords and TLS'
    """
    said = f"`tabloop docs {topic}`" + (f", '{section}'" if section else "")
    address = site_address()
    anchor = f"#{section.casefold().replace(' ', '-')}" if section else ""
    return f"{said}, or {address.rstrip('/')}/{topic}.html{anchor}" if address else said


@cache
def site_address() -> str | None:
    """Find the address of the site: `Documentation` of `[project.urls]`; None while it is not published.

    A name that ends with `.example` is nobody's, and stands for an address that is not known yet.
    """
    address = _configured()
    host = urlsplit(address).hostname or ""
    return None if not host or host.endswith(".example") else address


def _configured() -> str:
    if _PROJECT.is_file():  # a checkout says it itself: what is installed may come from an earlier one
        return str(tomllib.loads(_PROJECT.read_text("utf-8"))["project"]["urls"]["Documentation"])
    try:
        urls = metadata("tabloop").get_all("Project-URL", [])
    except PackageNotFoundError:
        return ""
    return next((url.partition(", ")[2] for url in urls if url.startswith("Documentation, ")), "")
