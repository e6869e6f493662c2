"""What the service takes and answers, as types: the OpenAPI document describes them by these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from tabloop.artifacts.documents.lineage import RowCounts
from tabloop.artifacts.documents.promise import Objective
from tabloop.explanation.explained_record import ExplainedRecord

#: NumPy's types by the Open Inference Protocol's names; little endian, as its binary extension writes them.
DTYPES = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1",
    "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip

_Parameters = dict[str, Any] | UnsetType
_Datatype = Annotated[str, Meta(extra_json_schema={"enum": ["BYTES", *DTYPES]})]
_Size = Annotated[int, Meta(ge=0)]


def json_response(answer: object) -> Response:
    """Answer a struct as JSON."""
    return Response(msgspec.json.encode(answer), media_type="application/json")


class LogHealth(msgspec.Struct, frozen=True):
    """Whether predictions can be written down, and how many rows were not."""

    writable: bool
    dropped_rows: int
    refused_rows: int


class PointerHealth(msgspec.Struct, frozen=True):
    """The pointer that is followed, the run it leads to, and the seconds since it was last looked at."""

    name: str
    run_id: str | None
    last_look_s: float | None


class ShippingHealth(msgspec.Struct, frozen=True):
    """Closed files of the log that wait to be shipped, and the seconds since all of them were shipped."""

    machine: str
    waiting_files: int
    last_shipped_s: float | None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the service is."""

    status: Literal["ok", "degraded"]
    ready: bool
    predictor_loaded: bool
    drift_baseline_loaded: bool
    run_id: str
    version: str
    troubles: list[str]
    prediction_log: LogHealth
    pointer: PointerHealth | None
    shipping: ShippingHealth | None


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """What the threshold promises, in figures of a precision and as a sentence, and the recall."""

    objective: Objective
    statement: str
    target_precision: float
    promised_precision: float | None
    confidence: float
    feasible: bool
    recall: float


class QualityFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures on the test rows."""

    roc_auc: float
    precision: float
    recall: float
    accuracy: float
    brier_score: float


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The model that answers."""

    run_id: str
    created_at: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    model: str
    graph: str
    decision_threshold: float
    promise: Promise
    test: QualityFigures
    rows: RowCounts
    hashes: dict[str, str]
    contract: dict[str, Any]
    card: str


class BrokenClause(msgspec.Struct, frozen=True, kw_only=True):
    """One clause of the contract that a record breaks."""

    row: int | None = None
    field: str = ""
    code: str = ""
    got: Any = None
    expected: str = ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | UnsetType = UNSET
    errors: list[BrokenClause] | UnsetType = UNSET
    total_errors: int | UnsetType = UNSET
    error: Annotated[str, Meta(description="The detail again, under `/v2`.")] | UnsetType = UNSET


class Outcome(msgspec.Struct, frozen=True):
    """An outcome that cannot be taken is refused by itself and reported."""

    prediction_id: Annotated[Any, Meta(description="Of the answer that it is about.")] = UNSET
    label: Annotated[Any, Meta(description="0 or 1, or the target's own value.")] = UNSET
    time: Annotated[Any, Meta(description="When it became known, in ISO 8601; left out, now.")] = UNSET


class Outcomes(msgspec.Struct, frozen=True):
    """What became of predictions."""

    outcomes: Annotated[list[Outcome], Meta(min_length=1)]


class ServerMetadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The server, as the Open Inference Protocol describes one."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor that the model takes or gives; -1 stands for any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model's tensors."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InputTensor(msgspec.Struct, frozen=True):
    """One column of the rows."""

    name: str
    shape: Annotated[list[_Size], Meta(min_length=1)]
    datatype: _Datatype
    parameters: _Parameters = UNSET
    data: list[Any] | UnsetType = UNSET


class WantedOutput(msgspec.Struct, frozen=True):
    """An output that is asked for."""

    name: str
    parameters: _Parameters = UNSET


class InferenceRequest(msgspec.Struct, frozen=True):
    """One tensor for each column, all of the same number of rows.

    With the header `Inference-Header-Content-Length`, tensors may stand behind the JSON as bytes: the
    protocol's binary extension.
    """

    inputs: Annotated[list[InputTensor], Meta(min_length=1)]
    id: str | UnsetType = UNSET
    parameters: _Parameters = UNSET
    outputs: list[WantedOutput] | UnsetType = UNSET


class OutputTensor(msgspec.Struct, frozen=True):
    """One output for all rows; in the binary extension its data stand behind the JSON."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | UnsetType = UNSET
    parameters: _Parameters = UNSET


class InferenceResponse(msgspec.Struct, frozen=True):
    """The answer for all rows, by the run that `model_version` names."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | UnsetType = UNSET


#: What a component of the OpenAPI document is written from.
DESCRIBED = (
    Health, Model, Problem, ExplainedRecord, Outcomes,
    ServerMetadata, ModelMetadata, InferenceRequest, InferenceResponse,
)  # fmt: skip
