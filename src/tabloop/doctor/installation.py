"""What is installed, and whether it is what tabloop asks for."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from tabloop import __version__
from tabloop.doctor.finding import Finding
from tabloop.extras import LIBRARIES_OF_EXTRA, install_name, missing_libraries

_PYTHONS = ((3, 11), (3, 13))


def examine_installation() -> Iterator[Finding]:
    """Look at Python, at the versions of the libraries, and at the extras."""
    first, last = _PYTHONS
    python = f"Python {platform.python_version()} in {sys.prefix}"
    if first <= sys.version_info[:2] <= last:
        yield Finding("python", "ok", python)
    else:
        supported = " to ".join(f"{major}.{minor}" for major, minor in _PYTHONS)
        yield Finding("python", "blocks", python, f"make the environment with Python {supported}")
    yield from _examine_versions(requires("tabloop") or [])
    for extra in LIBRARIES_OF_EXTRA:
        missing = missing_libraries(extra)
        if not missing:
            yield Finding(f"extra {extra}", "ok", "installed")
        else:
            yield Finding(
                f"extra {extra}",
                "note",
                f"not installed: {', '.join(missing)}",
                f"where it is needed: pip install {install_name(extra)}",
            )


def _examine_versions(requirements: list[str]) -> Iterator[Finding]:
    """Compare what is installed with what the package asks for; what an extra lacks is told there."""
    wrong: list[Finding] = []
    seen: dict[str, str] = {}
    for text in requirements:
        requirement = Requirement(text)
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            if requirement.marker is None:
                what = f"{requirement.name} is not installed"
                wrong.append(Finding("versions", "blocks", what, f"pip install '{requirement}'"))
            continue
        seen[requirement.name] = installed
        if not requirement.specifier.contains(installed, prereleases=True):
            wanted = f"{requirement.name}{requirement.specifier}"
            found = f"{requirement.name} {installed}, expected {requirement.specifier}"
            wrong.append(Finding("versions", "blocks", found, f"pip install --upgrade '{wanted}'"))
    shown = ", ".join(f"{name} {installed}" for name, installed in sorted(seen.items()))
    yield Finding("versions", "note" if wrong else "ok", f"tabloop {__version__}; {shown}")
    yield from dict.fromkeys(wrong)
