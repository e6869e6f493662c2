"""Real servers on the students' champion."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Workspace
from tests.deployment.real_server import Server, copy_of, serving

#: One valid student.
STUDENT: dict[str, Any] = {
    "student_country": "US", "days_on_platform": 100, "minutes_watched": 180.0, "courses_started": 3,
    "practice_exams_started": 2, "practice_exams_passed": 1, "minutes_spent_on_exams": 40.0,
}  # fmt: skip

Serve = Callable[..., Server]


@pytest.fixture
def student() -> dict[str, Any]:
    """One valid record; a test changes what it likes."""
    return dict(STUDENT)


@pytest.fixture(scope="package")
def server(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker with the default settings, shared by every test that leaves it as it is."""
    workspace = copy_of(trained, tmp_path_factory.mktemp("served") / "project")
    with serving(workspace) as running:
        yield running


@pytest.fixture
def deployed(trained: Workspace, tmp_path: Path) -> Workspace:
    """A released workspace of the test's own."""
    return copy_of(trained, tmp_path / "project")


@pytest.fixture
def serve(deployed: Workspace) -> Iterator[Serve]:
    """Start servers on `deployed`: `serve("serving.max_records=5", workers=2, environ={...})`."""
    with contextlib.ExitStack() as running:

        def start(*overrides: str, workers: int = 1, environ: dict[str, str] | None = None) -> Server:
            arguments = [word for setting in overrides for word in ("--set", setting)]
            return running.enter_context(
                serving(deployed, "--workers", str(workers), *arguments, environ=environ)
            )

        yield start
