"""`POST /explain` says why, by the run that answers, and keeps nobody waiting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from tabloop.api.model import load
from tabloop.deployment.handlers import _MOST_EXPLAINED_AT_ONCE
from tests.conftest import Workspace
from tests.deployment.real_server import Server, wait_until


def _record(workspace: Workspace) -> dict[str, object]:
    return pl.read_csv(workspace.folder / "data" / "ml_datasource.csv").drop("purchased").row(3, named=True)


def test_a_record_is_explained_as_the_model_explains_it(server: Server, trained: Workspace) -> None:
    record = _record(trained)
    wait_until(lambda: server.client.get("/monitoring/drift").status_code == 200)  # the monitor starts last
    logged = server.client.get("/monitoring/drift").json()["samples_observed"]
    answer = server.client.post("/explain", json=record)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    explained = load(trained.folder / "artifacts").explain(pl.DataFrame([record])).row(0, named=True)
    assert found["contributions"] == pytest.approx({name: explained[name] for name in record}, abs=1e-12)
    assert found["base"] == pytest.approx(explained[f"base_{found['unit']}"], abs=1e-12)
    predicted = server.client.post("/predict", json=record).json()
    assert found["probability"] == predicted["predicted_purchase_probability"]
    assert (found["decision"], found["run_id"]) == (predicted["predicted_purchase"], predicted["run_id"])
    wait_until(lambda: server.client.get("/monitoring/drift").json()["samples_observed"] > logged)
    assert server.client.get("/monitoring/drift").json()["samples_observed"] == logged + 1  # the prediction


def test_more_records_than_may_wait_are_told_to_come_again(server: Server, trained: Workspace) -> None:
    record = _record(trained)
    wait_until(lambda: server.client.get("/monitoring/drift").status_code == 200)
    with ThreadPoolExecutor(4 * _MOST_EXPLAINED_AT_ONCE) as pool:
        many = [pool.submit(server.client.post, "/explain", json=record) for _ in range(200)]
        statuses = {each.result().status_code for each in many}
    assert statuses <= {200, 503}
    assert 200 in statuses
    assert server.client.post("/explain", json=record).status_code == 200
