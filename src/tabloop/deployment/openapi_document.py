"""The OpenAPI document: the paths are FastAPI's, what a record is comes from the champion's contract."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tabloop.contract.columns.column import JsonSchema
from tabloop.contract.json_schema import json_schema
from tabloop.contract.sampling.example import example_record
from tabloop.deployment.answer_types import DESCRIBED
from tabloop.deployment.dashboard_types.decisions import LoggedPrediction, LoggedPredictions
from tabloop.deployment.dashboard_types.drift import FeatureNow, Windows
from tabloop.deployment.dashboard_types.now import Access, Overview, Traffic
from tabloop.deployment.dashboard_types.performance import Performance
from tabloop.deployment.dashboard_types.runs import (
    NewChampion,
    Promotion,
    Retraining,
    RetrainingRequest,
    Rollback,
    RunDetail,
    Runs,
)
from tabloop.deployment.dashboard_types.streams import Streams
from tabloop.deployment.edge import OPEN_PATHS
from tabloop.deployment.queries import QUERIES, query_parameters
from tabloop.deployment.served_model import ServedModel

#: Of the dashboard: each becomes a component of the document.
_DASHBOARD_TYPES = (
    Access, Overview, Traffic, Windows, FeatureNow, Performance, LoggedPredictions, LoggedPrediction, Runs,
    RunDetail, Promotion, Rollback, RetrainingRequest, NewChampion, Retraining, Streams,
)  # fmt: skip
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_NOT_READY = {503: "Not ready: a prediction would be refused, since the log cannot be written."}
_MONITOR_STATES = {503: "The monitor process does not answer yet."}
_QUERY_REFUSALS = {422: "The query cannot be read."} | _MONITOR_STATES
_UNKNOWN_NAME = {404: "There is nothing of that name."}

_PREDICT_REFUSALS = {
    400: "The body is no JSON object in UTF-8.",
    408: "The request did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not declared as JSON, or is compressed.",
    422: "Records do not meet the contract; every problem with row, field, what was got and expected.",
    503: "The queue is full, or the prediction log cannot be written. Try again later.",
}
_OPERATION_REFUSALS = {
    400: "The body is not what it should be.",
    403: "No API keys are in force, so nobody may act; or the key has not the role.",
    404: "There is no such run.",
    408: "The request did not arrive in time.",
    409: "It cannot be done now; nothing changed.",
    413: "The body is too large.",
    415: "The body is not declared as JSON, or is compressed.",
    503: "The monitor process does not answer yet.",
}


_ABOUT = """Each record is checked against the contract before it is scored; what breaks it is answered
with 422 and every problem at once. Every answer that is no success is a problem as RFC 9457 has it.

On any path: 400 for what is no HTTP, 404 and 405 for what is not listed here, 408 for a request that does
not arrive in time, 421 for the name of another host, 431 for an endless head, 503 with `Retry-After` for one
connection or one large body too many.
"""
_ABOUT_RULES = "\nRules that a record has to meet and a JSON schema cannot say:\n"


def _problem(said: str) -> JsonSchema:
    return {"description": said, "content": {"application/problem+json": {"schema": _PROBLEM}}}


_KEY_REFUSALS = {
    "401": _problem("No API key, or one that is unknown."),
    "403": _problem("The API key has not the role for this."),
}


def _path_parameter(name: str, value: str, said: str) -> JsonSchema:
    schema = {"type": "string", "enum": [value]}
    return {"name": name, "in": "path", "required": True, "description": said, "schema": schema}


_PATH_PARAMETERS = {
    "/predictions/{prediction_id}": {
        "name": "prediction_id", "in": "path", "required": True, "description": "The id that was answered.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "/runs/{run_id}": {
        "name": "run_id", "in": "path", "required": True, "description": "The run, or a part of its name.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[A-Za-z0-9.-]+$"},
    },
}  # fmt: skip


def describe_operations() -> dict[str, JsonSchema]:
    """Describe each path: what FastAPI's decorators take."""
    return {
        "/predict": _taking("Record", "Prediction", _PREDICT_REFUSALS, "predictions"),
        "/batch_predict": _taking("Records", "Predictions", _PREDICT_REFUSALS, "predictions"),
        "/explain": _taking(
            "Record",
            "ExplainedRecord",
            _PREDICT_REFUSALS | {503: "The monitor process does not answer yet, or explains many records."},
            "predictions",
        ),
        "/feedback": _taking(
            "Outcomes",
            "FeedbackReport",
            {code: said for code, said in _PREDICT_REFUSALS.items() if code != 503} | _MONITOR_STATES,
            "monitoring",
        ),
        "/health": _giving("Health", {}, "health"),
        "/health/live": _giving("Flags", {}, "health"),
        "/health/ready": _giving("Flags", _NOT_READY, "health"),
        "/model": _giving("Model", {}, "model"),
        "/metrics": {
            "tags": ["monitoring"],
            "responses": {
                200: {"description": "Figures.", "content": {"text/plain": {"schema": {"type": "string"}}}}
            },
        },
        "/monitoring/drift": _giving("Object", _MONITOR_STATES, "monitoring"),
        "/monitoring/retraining_trigger": _giving("Object", _MONITOR_STATES, "monitoring"),
        "/access": _giving("Access", {401: "The key is unknown."}, "dashboard"),
        "/monitoring/overview": _giving("Overview", _MONITOR_STATES, "dashboard"),
        "/monitoring/traffic": _giving("Traffic", _QUERY_REFUSALS, "dashboard"),
        "/monitoring/windows": _giving("Windows", _QUERY_REFUSALS, "dashboard"),
        "/monitoring/feature": _giving("FeatureNow", _QUERY_REFUSALS | _UNKNOWN_NAME, "dashboard"),
        "/monitoring/performance": _giving("Performance", _QUERY_REFUSALS, "dashboard"),
        "/monitoring/retraining": _giving("Retraining", _QUERY_REFUSALS, "dashboard"),
        "/monitoring/streams": _giving("Streams", _MONITOR_STATES, "dashboard"),
        "/predictions": _giving("LoggedPredictions", _QUERY_REFUSALS, "dashboard"),
        "/predictions/{prediction_id}": _giving(
            "LoggedPrediction", _UNKNOWN_NAME | _MONITOR_STATES, "dashboard"
        ),
        "/runs": _giving("Runs", _MONITOR_STATES, "dashboard"),
        "/runs/{run_id}": _giving("RunDetail", _UNKNOWN_NAME | _MONITOR_STATES, "dashboard"),
        "/promote": _taking("Promotion", "NewChampion", _OPERATION_REFUSALS, "operations"),
        "/rollback": _taking("Rollback", "NewChampion", _OPERATION_REFUSALS, "operations"),
        "/retrain": _taking("RetrainingRequest", "Retraining", _OPERATION_REFUSALS, "operations"),
        "/v2": _giving("ServerMetadata", {}, "open inference protocol"),
        "/v2/health/live": _giving("Flags", {}, "open inference protocol"),
        "/v2/health/ready": _giving("Flags", _NOT_READY, "open inference protocol"),
        **_model_operations("/v2/models/{name}"),
        **_model_operations("/v2/models/{name}/versions/{version}"),
    }


def _model_operations(path: str) -> dict[str, JsonSchema]:
    missing, tag = {404: "No such model or version."}, "open inference protocol"
    return {
        path: _giving("ModelMetadata", missing, tag),
        f"{path}/ready": _giving("Flags", missing | _NOT_READY, tag),
        f"{path}/infer": _taking("InferenceRequest", "InferenceResponse", _PREDICT_REFUSALS | missing, tag),
    }


def _taking(body: str, answer: str, refusals: dict[int, str], tag: str) -> JsonSchema:
    described = _giving(answer, refusals, tag)
    schema = {"$ref": f"#/components/schemas/{body}"}
    described["openapi_extra"] = {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}
    }
    return described


def _giving(answer: str, refusals: dict[int, str], tag: str) -> JsonSchema:
    responses: dict[int, Any] = {
        200: {
            "description": "Done.",
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer}"}}},
        }
    }
    for status, said in refusals.items():
        responses[status] = _problem(said)
    return {"tags": [tag], "responses": responses}


@lru_cache(maxsize=2)
def describe_service(app: FastAPI, model: ServedModel, *, model_name: str, asks_for_keys: bool) -> JsonSchema:
    """Write the OpenAPI document for the model that answers now.

    Parameters
    ----------
    app : FastAPI
        The paths.
    model : ServedModel
        The served model, whose contract describes a record.
    model_name : str
        The name under `/v2/models`.
    asks_for_keys : bool
        Whether API keys are in force.
    """
    contract = model.contract
    document = get_openapi(
        title=f"tabloop: {contract.target.name}",
        version=app.version,
        summary=f"Decides on {contract.target.name}, as run {model.run_id} was trained to.",
        description=_ABOUT
        + _ABOUT_RULES * bool(contract.rules)
        + "".join(f"\n- `{rule}`" for rule in contract.rules),
        routes=app.routes,
    )
    _complete_operations(document["paths"], model_name, model.run_id, asks_for_keys)
    components = document.setdefault("components", {})
    if asks_for_keys:
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    components["schemas"] = components.get("schemas", {}) | _record_schemas(model) | _fixed_schemas()
    return document


def _complete_operations(paths: JsonSchema, model_name: str, run_id: str, asks_for_keys: bool) -> None:
    """Add to what FastAPI knows of each path: its parameters, and what is refused."""
    for path, item in paths.items():
        for operation in item.values():
            operation["summary"] = operation.pop("description").partition("\n")[0]
            operation["operationId"] = "_".join(re.findall("[a-z0-9_]+", path))
            if "{name}" in path:
                operation["parameters"] = [_path_parameter("name", model_name, "The one model there is.")]
            if "{version}" in path:
                version = _path_parameter("version", run_id, "The run that answers.")
                operation["parameters"].append(version)
            if path in _PATH_PARAMETERS:
                operation["parameters"] = [_PATH_PARAMETERS[path]]
            if path in QUERIES:
                operation["parameters"] = query_parameters(QUERIES[path])
            elif "requestBody" not in operation:  # FastAPI's own idea of a refusal
                operation["responses"].pop("422", None)
            if asks_for_keys and path not in OPEN_PATHS:
                operation["responses"] |= _KEY_REFUSALS
                operation["security"] = [{"bearer": []}, {"header": []}]


def _record_schemas(model: ServedModel) -> JsonSchema:
    """Describe what the contract of the served model says: a record, a prediction, and lists of them."""
    contract = model.contract
    record = json_schema(contract)
    record.pop("$schema")
    example = example_record(contract)
    record["title"] = "Record"
    examples = [example] if example is not None else []
    record["examples"] = examples
    number, whole = {"type": "number", "minimum": 0, "maximum": 1}, {"type": "integer", "enum": [0, 1]}
    prediction = {
        "type": "object",
        "properties": {
            contract.probability_name: number,
            contract.decision_name: whole,
            "prediction_id": {"type": "string", "format": "uuid"},
            "run_id": {"type": "string"},
        },
        "required": [contract.probability_name, contract.decision_name, "prediction_id", "run_id"],
        "additionalProperties": False,
    }
    records = {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Record"},
        "minItems": 1,
        "maxItems": model.max_records,
    }
    return {
        "Record": record,
        "Records": _closed({"records": records}) | {"examples": [{"records": examples}]},
        "Prediction": prediction,
        "Predictions": _closed(
            {"predictions": {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}}}
        ),
    }


def _closed(properties: JsonSchema) -> JsonSchema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@cache
def _fixed_schemas() -> JsonSchema:
    """Describe what does not depend on the model."""
    _, schemas = msgspec.json.schema_components(
        (*DESCRIBED, *_DASHBOARD_TYPES), ref_template="#/components/schemas/{name}"
    )
    return schemas | {
        "Object": {"type": "object"},
        "Flags": {"type": "object", "additionalProperties": {"type": ["boolean", "string"]}},
        "FeedbackReport": {"type": "object"},
    }
