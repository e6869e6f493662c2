"""The Open Inference Protocol, version 2: the same model for clients of KServe and Triton."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from tabloop import __version__
from tabloop.contract.checks.record import shown, shown_text
from tabloop.contract.checks.strict_json import read_strict_json
from tabloop.contract.columns import BooleanColumn, Column, IntegerColumn, NumberColumn
from tabloop.deployment.answer_types import (
    DTYPES,
    InferenceResponse,
    ModelMetadata,
    OutputTensor,
    ServerMetadata,
    TensorMetadata,
    json_response,
)
from tabloop.deployment.edge import Send, send_body
from tabloop.deployment.paths import Decorator
from tabloop.deployment.problems import HttpProblem
from tabloop.deployment.request_body import Receive, Scope
from tabloop.deployment.served_model import Prediction, ServedModel
from tabloop.errors import MalformedBodyError, RecordError

if TYPE_CHECKING:
    from tabloop.deployment.handlers import Service

_JSON_LENGTH = b"inference-header-content-length"

#: A model has one version, the run that answers; who names it wants no other.
INFER_PATHS = ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer")

_MOST_PROBLEMS = 20
_MOST_DIGITS = 18


class OpenInference:
    """The protocol's paths.

    Parameters
    ----------
    service : Service
        The model, the log and the limits.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def model_name(self) -> str:
        """The name of the one model there is."""
        return self._service.config.model_name or self._service.model.contract.target.answer_name

    def add_reading_paths(self, get: Callable[[str], Decorator]) -> None:
        """Add the paths that describe."""

        @get("/v2")
        async def server_metadata(_: Request) -> Response:
            """Describe the server."""
            return json_response(ServerMetadata("tabloop", __version__, ["binary_tensor_data"]))

        @get("/v2/health/live")
        async def server_live(_: Request) -> Response:
            """Answer as long as the process runs."""
            return json_response({"live": True})

        @get("/v2/health/ready")
        async def server_ready(_: Request) -> Response:
            """Answer 200 when requests can be answered."""
            await self._service.require_ready()
            return json_response({"ready": True})

        @get("/v2/models/{name}")
        @get("/v2/models/{name}/versions/{version}")
        async def model_metadata(request: Request) -> Response:
            """Describe the model's tensors."""
            self._require_model(request.scope, self._service.model)
            return json_response(self.describe())

        @get("/v2/models/{name}/ready")
        @get("/v2/models/{name}/versions/{version}/ready")
        async def model_ready(request: Request) -> Response:
            """Answer 200 when the model can be asked."""
            self._require_model(request.scope, self._service.model)
            await self._service.require_ready()
            return json_response({"name": self.model_name, "ready": True})

    def describe(self) -> ModelMetadata:
        """Describe the model's tensors."""
        contract = self._service.model.contract
        return ModelMetadata(
            name=self.model_name,
            versions=[self._service.model.run_id],
            platform="onnxruntime_onnx",
            inputs=[
                TensorMetadata(name, _datatype(column), [-1]) for name, column in contract.columns.items()
            ],
            outputs=[
                TensorMetadata(contract.probability_name, "FP64", [-1]),
                TensorMetadata(contract.decision_name, "INT64", [-1]),
                TensorMetadata("prediction_id", "BYTES", [-1]),
            ],
        )

    async def infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide on rows given as tensors, one for each column."""
        service = self._service
        model = service.model
        self._require_model(scope, model)
        body = await service.bodies.read(scope, receive)

        def decode(body: bytes) -> tuple[Mapping[str, Any], dict[str, bool], list[Any]]:
            request, binary = _split(scope, body)
            outputs = _wanted_outputs(request, self._output_names(model))
            rows = _rows(_columns(request, binary), service.config.max_records)
            return request, outputs, model.codec.records_of(rows)

        try:
            request, outputs, records = await service.bodies.decode(decode, body)
        except RecordError as error:
            service.count_refused(error)
            raise
        predictions = await service.decide(model, records)
        await self._answer(send, request, outputs, model, predictions)

    def _require_model(self, scope: Scope, model: ServedModel) -> None:
        asked = scope["path_params"]
        if asked["name"] != self.model_name:
            name = shown_text(asked["name"])
            raise HttpProblem("not-found", f"there is no model {name!r}; it is named {self.model_name!r}")
        if asked.get("version", model.run_id) != model.run_id:
            version = shown_text(asked["version"])
            raise HttpProblem("not-found", f"version {version!r} does not answer; {model.run_id!r} does")

    @staticmethod
    def _output_names(model: ServedModel) -> tuple[str, str, str]:
        return model.contract.probability_name, model.contract.decision_name, "prediction_id"

    async def _answer(
        self,
        send: Send,
        request: Mapping[str, Any],
        wanted: Mapping[str, bool],
        model: ServedModel,
        predictions: Sequence[Prediction],
    ) -> None:
        probability, decision, prediction_id = self._output_names(model)
        probabilities, labels, ids, _ = zip(*predictions, strict=True)
        tensors: dict[str, tuple[str, list[Any]]] = {
            probability: ("FP64", list(probabilities)),
            decision: ("INT64", list(labels)),
            prediction_id: ("BYTES", list(ids)),
        }
        outputs, raw = [], b""
        for name, is_binary in wanted.items():
            datatype, values = tensors[name]
            if is_binary:
                part = _to_bytes(datatype, values)
                size = {"binary_data_size": len(part)}
                outputs.append(OutputTensor(name, datatype, [len(values)], parameters=size))
                raw += part
            else:
                outputs.append(OutputTensor(name, datatype, [len(values)], data=values))
        given = request.get("id")
        answer = InferenceResponse(
            self.model_name, model.run_id, outputs, id=given if isinstance(given, str) else UNSET
        )
        # json can write lone surrogates, which an id may hold, and msgspec cannot
        text = json.dumps(msgspec.to_builtins(answer), ensure_ascii=False).encode("utf-8", "backslashreplace")
        if not raw:
            await send_body(send, text)
            return
        length = [(_JSON_LENGTH, b"%d" % len(text))]
        await send_body(send, text + raw, media_type=b"application/octet-stream", headers=length)


def _split(scope: Scope, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Take a body apart: JSON, and the tensors behind it."""
    length = len(body)
    # Triton's own client declares nothing; a page of another site, which could do so too, names its origin
    is_json = not any(name in (b"content-type", b"origin") for name, _ in scope["headers"])
    for name, value in scope["headers"]:
        if name == _JSON_LENGTH:
            if not value.isdigit() or len(value) > _MOST_DIGITS or int(value) > len(body):
                got = shown_text(value.decode("latin-1"))
                raise MalformedBodyError(
                    f"Inference-Header-Content-Length: got {got!r}, expected at most {len(body)}"
                )
            length, is_json = int(value), True
        elif name == b"content-type":
            is_json = is_json or value.partition(b";")[0].strip().lower() == b"application/json"
    if not is_json:
        raise HttpProblem("not-json", "expected the header `Content-Type: application/json`")
    request = read_strict_json(body[:length])
    if not isinstance(request, dict) or not isinstance(request.get("inputs"), list) or not request["inputs"]:
        raise MalformedBodyError("expected a JSON object with `inputs`, a list of tensors")
    if not isinstance(request.get("outputs") or [], list):
        raise MalformedBodyError("outputs: expected a list of tensors")
    return request, body[length:]


def _wanted_outputs(request: Mapping[str, Any], names: Sequence[str]) -> dict[str, bool]:
    """Name the outputs that are asked for, and whether as bytes; all of them where nothing is said."""
    all_binary = bool(_parameters(request).get("binary_data_output"))
    wanted: dict[str, bool] = {}
    for output in request.get("outputs") or [{"name": name} for name in names]:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in names:
            raise MalformedBodyError(f"outputs: got {shown(name)!r}, expected one of {', '.join(names)}")
        wanted[name] = bool(_parameters(output).get("binary_data", all_binary))
    return wanted


def _columns(request: Mapping[str, Any], binary: bytes) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    problems = []
    offset = 0
    for place, tensor in enumerate(request["inputs"]):
        try:
            name, values, offset = _tensor(tensor, binary, offset)
            if name in columns:
                raise ValueError(f"tensor {shown_text(name)!r} stands twice")
            columns[name] = values
        except ValueError as error:
            problems.append(f"inputs[{place}]: {error}")
    if not problems and offset != len(binary):
        problems.append(f"{len(binary) - offset} bytes stand behind the last tensor")
    if problems:
        raise MalformedBodyError("; ".join(problems[:_MOST_PROBLEMS]))
    return columns


def _tensor(tensor: Any, binary: bytes, offset: int) -> tuple[str, list[Any], int]:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise ValueError("expected a tensor with name, shape, datatype and data")
    name, shape, datatype = tensor["name"], tensor.get("shape"), tensor.get("datatype")
    told = shown_text(name)
    if datatype != "BYTES" and (not isinstance(datatype, str) or datatype not in DTYPES):
        expected = f"BYTES or one of {', '.join(DTYPES)}"
        raise ValueError(f"{told}: got datatype {shown(datatype)!r}, expected {expected}")
    if (
        not isinstance(shape, list)
        or not shape
        or not all(type(n) is int and n >= 0 for n in shape)
        or any(n != 1 for n in shape[1:])
    ):
        raise ValueError(f"{told}: got shape {_shape(shape)}, expected [rows] or [rows, 1]")
    size = _parameters(tensor).get("binary_data_size")
    if size is not None:
        if type(size) is not int or size < 0 or offset + size > len(binary):
            raise ValueError(
                f"{told}: binary_data_size {shown(size)!r} does not fit the {len(binary)} bytes sent"
            )
        values = _from_bytes(told, datatype, binary[offset : offset + size])
        offset += size
    else:
        data = tensor.get("data")
        if not isinstance(data, list):
            raise ValueError(f"{told}: has no data; expected a list")
        values = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in data]
    if len(values) != shape[0]:
        raise ValueError(f"{told}: got {len(values)} values, its shape says {shown(shape[0])}")
    return name, values, offset


def _shape(shape: Any) -> str:
    """Show a shape, a short one as it is."""
    is_short = isinstance(shape, list) and len(shape) <= 4
    return str([shown(size) for size in shape]) if is_short else repr(shown(shape))


def _datatype(column: Column) -> str:
    """Say how a column's values come as a tensor; a JSON `null`, or NaN as FP64, is a missing one."""
    match column:
        case IntegerColumn():
            return "FP64" if column.nullable else "INT64"  # whole numbers alone are taken in both
        case NumberColumn():
            return "FP64"
        case BooleanColumn():
            return "BOOL"
        case _:
            return "BYTES"  # timestamps among them, in ISO 8601


def _parameters(thing: Any) -> Mapping[str, Any]:
    found = thing.get("parameters") if isinstance(thing, dict) else None
    return found if isinstance(found, dict) else {}


def _rows(columns: Mapping[str, list[Any]], max_records: int) -> list[dict[str, Any]]:
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        few = list(columns.items())[:_MOST_PROBLEMS]
        found = ", ".join(f"{shown_text(name)} {len(values)}" for name, values in few)
        raise MalformedBodyError(f"the tensors have different numbers of rows: {found}")
    n_rows = lengths.pop()
    if not 1 <= n_rows <= max_records:
        raise MalformedBodyError(f"got {n_rows} rows, expected 1 to {max_records} (serving.max_records)")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _from_bytes(name: str, datatype: str, raw: bytes) -> list[Any]:
    if datatype != "BYTES":
        dtype = np.dtype(DTYPES[datatype])
        if len(raw) % dtype.itemsize:
            raise ValueError(f"{name}: {len(raw)} bytes are no whole number of {datatype}")
        values: list[Any] = np.frombuffer(raw, dtype).tolist()
        # NaN is how a float tensor says null
        return [None if value != value else value for value in values]
    texts = []
    place = 0
    while place < len(raw):
        if place + 4 > len(raw):
            raise ValueError(f"{name}: the tensor ends in the middle of a length")
        (length,) = struct.unpack_from("<I", raw, place)
        place += 4
        if place + length > len(raw):
            raise ValueError(f"{name}: the tensor ends in the middle of a text")
        try:
            texts.append(raw[place : place + length].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: not UTF-8: {error}") from error
        place += length
    return texts


def _to_bytes(datatype: str, values: list[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(raw := value.encode())) + raw for value in values)
    return np.asarray(values, dtype=DTYPES[datatype]).tobytes()
