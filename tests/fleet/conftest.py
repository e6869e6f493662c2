"""A remote of its own for each test, on one S3 server for all."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tabloop.storage.object_store import ObjectStore
from tests.conftest import Workspace
from tests.fleet.s3_server import BUCKET, S3, running_s3

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """One server for all tests of a process."""
    with running_s3() as s3:
        yield s3


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """The server, well, and reached by the environment."""
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    s3_server.clear()
    yield s3_server
    s3_server.clear()


@pytest.fixture
def remote_url(s3: S3) -> str:
    """A place where nothing is yet."""
    return f"s3://{BUCKET}/test-{next(_NUMBERS)}"


@pytest.fixture
def remote(remote_url: str) -> ObjectStore:
    """The same, opened by somebody who is not patient."""
    return ObjectStore(remote_url, patience_s=2.0)


@pytest.fixture
def project(trained_copy: Workspace, remote_url: str) -> Workspace:
    """A released run, in a project that has a remote."""
    trained_copy.change(artifacts={"remote": remote_url})
    return trained_copy
