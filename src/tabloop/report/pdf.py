"""A report as PDF, printed by a browser where one is at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tabloop.errors import ReportError

_BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
_FLAGS = ("--headless", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer")
_TIMEOUT_S = 120.0


def print_pdf(html: str) -> bytes:
    """Have Chromium, Chrome or Edge print a page.

    Raises
    ------
    ReportError
        If there is no such browser, or it does not print.
    """
    program = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        raise ReportError(
            f"PDF: got no browser, expected one of {', '.join(_BROWSERS[:3])} on the PATH; use --format "
            f"html, "
            "and print from a browser"
        )
    with tempfile.TemporaryDirectory(prefix="tabloop-report-") as folder:
        page, printed = Path(folder) / "report.html", Path(folder) / "report.pdf"
        page.write_text(html, encoding="utf-8")
        # Chromium's sandbox refuses root, as in a container; the page holds no script and loads nothing
        as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [program, *_FLAGS, *as_root, f"--user-data-dir={folder}/profile"]
        command += [f"--print-to-pdf={printed}", page.as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ReportError(
                f"PDF: {program} did not print within {_TIMEOUT_S:.0f} s; use --format html"
            ) from error
        if not printed.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise ReportError(f"PDF: {program} printed nothing: {said[0][:300]}; use --format html")
        return printed.read_bytes()
