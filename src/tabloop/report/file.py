"""A report as the bytes of a file."""

from __future__ import annotations

from tabloop.report.html import render_html
from tabloop.report.markdown import render_markdown
from tabloop.report.page import Page
from tabloop.report.pdf import print_pdf


def report_bytes(page: Page, kind: str) -> bytes:
    """Write a report as `html`, `md` or `pdf`.

    Raises
    ------
    ReportError
        If there is no browser to print a PDF.
    """
    match kind:
        case "md":
            return render_markdown(page).encode()
        case "pdf":
            return print_pdf(render_html(page))
        case _:
            return render_html(page).encode()
