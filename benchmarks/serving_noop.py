"""The no-op that the service is compared with: FastAPI, the same request and response, a constant answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, create_model

from benchmarks.record_codec import pydantic_model
from tabloop.config.loading import load_project
from tabloop.contract.contract import Contract


def create_app(contract: Contract) -> FastAPI:
    """Build the app as one would write it by hand; the row rules, which cost, are left out."""
    record: Any = pydantic_model(Contract.from_dict(contract.to_dict() | {"rules": []}))
    names = {
        contract.probability_name: float,
        contract.decision_name: int,
        "prediction_id": str,
        "run_id": str,
    }
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in names.items()}
    answer: Any = create_model("Answer", __base__=BaseModel, **fields)
    values = {
        contract.probability_name: 0.042536126476879765,
        contract.decision_name: 0,
        "prediction_id": "01a20dc2-0e78-7397-b876-ff2700000001",
        "run_id": "20261124T131956.326730Z-70de",
    }
    app = FastAPI()

    async def predict(row: record) -> Any:
        return answer(**values)

    predict.__annotations__ = {"row": record, "return": answer}
    app.post("/predict", response_model=answer)(predict)
    return app


app = create_app(load_project(Path(os.environ.get("TABLOOP_BENCHMARK_CONFIG", "config.yaml"))).contract)
