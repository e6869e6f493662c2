from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator

import polars as pl
import pytest
from tests.conftest import Workspace

from tabloop.contract.sampling.sampler import sample_rows


@pytest.fixture
def rows(trained: Workspace) -> pl.DataFrame:
    """Six hundred valid rows, numbered in a column that the model does not know."""
    sampled = sample_rows(trained.project().contract, 600, seed=5)
    return sampled.with_columns(pl.Series("place", range(600)))


@pytest.fixture
def data_set(trained_copy: Workspace, rows: pl.DataFrame) -> Workspace:
    """A project with the folder `visits`: CSV and Parquet files by day, and files that are no data."""
    folder = trained_copy.folder / "visits"
    for number in range(6):
        day = folder / f"day=2026-11-{number // 2 + 1:02}"
        day.mkdir(parents=True, exist_ok=True)
        part = rows.slice(number * 100, 100)
        part.write_csv(day / "a.csv") if number % 2 else part.write_parquet(day / "b.parquet")
    (folder / "_SUCCESS").touch()
    (folder / "readme.md").write_text("not data")
    (folder / ".hidden.csv").write_text("not,data")
    return trained_copy


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """A server of this process that speaks the API of S3 on loopback, with a bucket `shop`."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{address}/shop", method="PUT")).close()  # noqa: S310
    yield address
    server.stop()


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty folder of that bucket, and the environment to reach it."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_address,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return f"s3://shop/{os.environ['PYTEST_CURRENT_TEST'].encode().hex()[-40:]}"
