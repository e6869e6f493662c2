"""What is measured of a run: in its folder while it is open, beside it once it is sealed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tabloop.artifacts.documents.document import Document, document_bytes, parse_document
from tabloop.artifacts.files import open_atomic
from tabloop.artifacts.layout import reports_folder
from tabloop.artifacts.run import RunFolder


def read_report(run: RunFolder, kind: type[Document], name: str) -> Document | None:
    """Read the newest report of a run: the one beside it, or else its own; None where it has neither.

    Raises
    ------
    ArtifactError
        If what it holds is not of this type.
    """
    later = report_path(run, name)
    if run.state != "open" and later.exists():
        return parse_document(later.read_bytes(), kind, str(later))
    return run.read_as(kind, name) if run.has(name) else None


def report_path(run: RunFolder, name: str) -> Path:
    """Say where a report goes: into an open run, or under `reports/<run_id>/` of a sealed one."""
    if run.state == "open":
        return run.path / name
    return reports_folder(run.path.parents[1], run.run_id) / name


@contextmanager
def open_report(run: RunFolder, name: str) -> Iterator[BinaryIO]:
    """Write one report, atomically; beside a sealed run it replaces the one before.

    Raises
    ------
    ArtifactError
        If the run is open and has the file already, or the folder cannot be written.
    """
    if run.state == "open":
        with run.open_new(name) as file:
            yield file
    else:
        path = report_path(run, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_atomic(path) as file:
            yield file


def write_report(run: RunFolder, name: str, content: bytes) -> None:
    """Write one small report; see `open_report`."""
    with open_report(run, name) as file:
        file.write(content)


def write_report_document(run: RunFolder, name: str, document: object) -> None:
    """Write one JSON report from its type; see `open_report`."""
    write_report(run, name, document_bytes(document))
