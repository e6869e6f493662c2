"""The files of the dashboard: a page, a style sheet and scripts, as they are in the package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from starlette.responses import Response

from tabloop.charts.colours import css_variables

#: The page runs the scripts of this service alone, asks nobody else, and is shown in nobody's frame.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def dashboard_files() -> dict[str, tuple[bytes, str]]:
    """Read the files; give content and media type by the path at which each is served.

    They hold nothing of any model, so they need no key: what they show comes from paths that do.

    Examples
    --------
    >>> sorted(dashboard_files())[:2]
    ['/', '/dashboard/api.js']
    """
    found = {}
    folder = files("tabloop.deployment") / "dashboard"
    for file in folder.iterdir():
        kind = _KINDS.get("." + file.name.rpartition(".")[2])
        if kind is None:
            continue
        content = file.read_bytes()
        if file.name == "style.css":
            look = files("tabloop.charts").joinpath("page.css").read_bytes()
            content = css_variables().encode() + b"\n" + look + content
        found["/" if file.name == "index.html" else f"/dashboard/{file.name}"] = (content, kind)
    return found


def dashboard_file(path: str) -> Response:
    """Answer with one of the files."""
    content, kind = dashboard_files()[path]
    return Response(content, headers={"content-type": kind, "content-security-policy": _POLICY})
