"""The manifest of a run on the disk: read, and known to be that of the run."""

from __future__ import annotations

import json
from pathlib import Path

from tabloop.artifacts.documents.document import FORMAT_VERSION, parse_document
from tabloop.artifacts.documents.manifest import Manifest
from tabloop.artifacts.layout import MANIFEST
from tabloop.errors import ArtifactError, ArtifactMissingError


def read_manifest(path: Path) -> Manifest:
    """Read the manifest in a run's folder.

    Raises
    ------
    ArtifactMissingError
        If there is no run.
    ArtifactError
        If it cannot be read, or is of another format or another run.
    """
    try:
        content = (path / MANIFEST).read_bytes()
        described = json.loads(content)
    except FileNotFoundError as error:
        raise ArtifactMissingError(f"{path}: no run here; `tabloop runs` lists them") from error
    except OSError as error:
        raise ArtifactError(f"{path / MANIFEST}: cannot be read: {error.strerror or error}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path / MANIFEST}: not JSON: {error}") from error
    got = described.get("format_version") if isinstance(described, dict) else str(described)[:100]
    if got != FORMAT_VERSION:
        raise ArtifactError(f"{path / MANIFEST}: got format_version {got}, expected {FORMAT_VERSION}")
    manifest = parse_document(content, Manifest, str(path / MANIFEST))
    if manifest.run_id != path.name:
        raise ArtifactError(f"{path / MANIFEST}: is that of run {manifest.run_id}; restore it")
    return manifest
