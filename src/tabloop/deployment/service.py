"""The HTTP service: which path does what."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from tabloop import __version__
from tabloop.artifacts.prediction_log import PredictionLogWriter
from tabloop.config.serving import ServingConfig
from tabloop.deployment import metrics
from tabloop.deployment.api_keys import ApiKeys
from tabloop.deployment.edge import Edge, Receive, Scope, Send, problem_body, read_body, send_body
from tabloop.deployment.monitor_client import MonitorClient
from tabloop.deployment.open_inference import OpenInference
from tabloop.deployment.openapi_document import describe_operations, describe_service
from tabloop.deployment.problem_details import MEDIA_TYPE, HttpProblem, problem_of
from tabloop.deployment.served_model import Prediction, ServedModel
from tabloop.errors import LogUnwritableError, QueueFullError, RecordError, TabloopError
from tabloop.inference.champion_follower import ChampionFollower

#: A monitor that has not looked for so long is not there; it is, once it has read a long log.
_MONITOR_SILENCE_S = 30.0

Handler: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


class LeanRoute(APIRoute):
    """A route that FastAPI documents and finds, and whose handler speaks ASGI itself.

    FastAPI's way through request objects, dependencies and two exit stacks costs as much as the model.
    """

    def __init__(self, path: str, endpoint: Handler, **settings: Any) -> None:
        super().__init__(path, endpoint=_documented(endpoint), **settings)

        self.app = endpoint


def _documented(endpoint: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def documented(request: Request) -> Response:  # never called: `app` above answers
        raise AssertionError

    documented.__name__, documented.__doc__ = endpoint.__name__, endpoint.__doc__
    return documented


class Service:
    """The handlers, and what they share.

    Parameters
    ----------
    champion : ChampionFollower of ServedModel
        The model that answers.
    log : PredictionLogWriter
        Where predictions are written down.
    monitor : MonitorClient
        Answers about drift and retraining.
    config : ServingConfig
        The limits.
    keys : ApiKeys or None
        Who may ask.
    """

    def __init__(
        self,
        champion: ChampionFollower[ServedModel],
        log: PredictionLogWriter,
        monitor: MonitorClient,
        config: ServingConfig,
        keys: ApiKeys | None,
    ) -> None:
        self.champion = champion
        self.log = log
        self.monitor = monitor
        self.config = config
        self.keys = keys
        self.started_at = time.time()

    @property
    def model(self) -> ServedModel:
        """The model that answers now."""
        return self.champion.service

    async def predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide on one record."""
        body = await self._json_body(scope, receive)
        model = self.champion.service
        try:
            record = model.codec.decode_record(body)
        except RecordError as error:
            self.count_refused(error)
            raise
        predictions = await self.decide(model, [record])
        await send_body(send, model.answer_one(predictions[0]))

    async def batch_predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide on several records, all by the same model."""
        body = await self._json_body(scope, receive)
        model = self.champion.service
        try:
            records = model.codec.decode_records(body)
        except RecordError as error:
            self.count_refused(error)
            raise
        predictions = await self.decide(model, records)
        await send_body(send, model.answer_many(predictions))

    async def decide(self, model: ServedModel, records: list[Any]) -> list[Prediction]:
        """Score records, write them down, and come back when the log keeps what it promises."""
        try:
            predictions = await model.batcher.submit(records)
        except QueueFullError:
            metrics.queue_refused_rows.inc(len(records))
            raise
        if predictions[-1].ticket:
            try:  # each batch has a ticket, and they need not be in order
                for ticket in {prediction.ticket for prediction in predictions}:
                    await self.log.committed(ticket)
            except LogUnwritableError:
                metrics.log_refused_rows.inc(len(records))
                metrics.log_state.note(failed=True)
                raise
        return predictions

    def count_refused(self, error: RecordError) -> None:
        """Count refused rows by reason: a surge of them is an alarm of its own."""
        columns = self.model.contract.columns
        reasons = {
            # a name that a client made up is no name for a figure
            (p.row, f"{p.field}: {p.code}" if p.field in columns else p.code)
            for p in error.problems
        }
        metrics.invalid_rows.inc(len({row for row, _ in reasons}))
        for _, reason in reasons:
            metrics.refused_rows.labels(reason).inc()

    async def feedback(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take outcomes of earlier predictions."""
        body = await self._json_body(scope, receive)
        status, answer = await self.monitor.ask("feedback", body)
        await send_body(send, answer, status=status, media_type=_media_type(status))

    async def _json_body(self, scope: Scope, receive: Receive) -> bytes:
        for name, value in scope["headers"]:
            if name == b"content-type":
                kind = value.partition(b";")[0].strip().lower()
                if kind == b"application/json" or (
                    kind.startswith(b"application/") and kind.endswith(b"+json")
                ):
                    return await read_body(scope, receive, self.config.max_body_bytes)
                break
        # a page of another site can send anything but this header to a service on loopback
        raise HttpProblem(415, "not-json", "expected the header `Content-Type: application/json`")

    def health(self) -> dict[str, Any]:
        """Say how the service is."""
        model = self.champion.service
        figures: defaultdict[str, float] = defaultdict(float)
        for name, _, value in metrics.samples():  # over all workers: whichever answers, says the same
            figures[name] += value
        log_problem = self.log.problem
        if log_problem is None and figures["tabloop_log_unwritable"]:
            log_problem = "a worker's latest try to write the prediction log failed; its log tells why"
        looked_at = figures["tabloop_monitor_looked_at"]
        monitor_problem = None
        if time.time() - (looked_at or self.started_at) > _MONITOR_SILENCE_S:
            monitor_problem = "the monitor process has not looked for a while; its log tells why"
        keys_problem = self.keys.problem if self.keys else None
        troubles = [self.champion.problem, keys_problem, log_problem, monitor_problem]
        return {
            "status": "degraded" if any(troubles) else "ok",
            "ready": True,
            "predictor_loaded": True,
            "drift_baseline_loaded": looked_at > 0 and monitor_problem is None,
            "run_id": model.run_id,
            "version": __version__,
            "troubles": [trouble for trouble in troubles if trouble],
            "prediction_log": {
                "writable": log_problem is None,
                "dropped_rows": int(figures["tabloop_log_dropped_rows_total"]),
                "refused_rows": int(figures["tabloop_log_refused_rows_total"]),
            },
        }


def create_app(service: Service, *, request_log: str = "errors", lifespan: Any = None) -> Edge:
    """Put the paths together.

    Parameters
    ----------
    service : Service
        The handlers.
    request_log : {"none", "errors", "all"}
        Which requests are logged.

    Returns
    -------
    edge : Edge
        The ASGI application to serve: FastAPI's, behind what every request passes.
    """
    app = FastAPIOffline(
        title=f"tabloop: {service.model.contract.target.name}",
        version=__version__,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,  # behind a proxy that does TLS they would lead to the wrong scheme
        swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
    )
    # the busiest first: routes are tried in order
    lean: list[tuple[str, Handler]] = [
        ("/predict", service.predict),
        ("/batch_predict", service.batch_predict),
        ("/feedback", service.feedback),
    ]
    operations = describe_operations()
    for place, (path, handler) in enumerate(lean):
        route = LeanRoute(path, handler, methods=["POST"], response_model=None, **operations[path])
        app.router.routes.insert(place, route)
    open_inference = OpenInference(service)
    for path, handler in open_inference.lean_routes():
        app.router.routes.append(
            LeanRoute(path, handler, methods=["POST"], response_model=None, **operations[path])
        )
    _add_reading_paths(app, service, open_inference, operations)
    _add_error_answers(app)
    app.openapi = lambda: describe_service(  # type: ignore[method-assign]
        app, service.model, model_name=open_inference.model_name, asks_for_keys=service.keys is not None
    )
    return Edge(app, lean=dict(lean), keys=service.keys, request_log=request_log)


def _add_reading_paths(
    app: FastAPI, service: Service, open_inference: OpenInference, operations: dict[str, Any]
) -> None:
    def get(path: str) -> Decorator:
        return app.get(path, response_model=None, **operations[path])

    @get("/health")
    async def health() -> Any:
        """Say how the service is."""
        return service.health()

    @get("/health/live")
    async def health_live() -> Any:
        """Answer as long as the process runs."""
        return {"live": True}

    @get("/health/ready")
    async def health_ready() -> Any:
        """Answer 200 when requests can be answered."""
        return {"ready": True, "run_id": service.model.run_id}

    @get("/model")
    async def model() -> Any:
        """Describe the model that answers: card, promise, hashes, contract."""
        return service.model.description

    @get("/metrics")
    async def read_metrics() -> Response:
        """Give every figure, exact across workers, in Prometheus' text format."""
        rendered = await asyncio.to_thread(metrics.render)
        return Response(rendered, media_type=metrics.CONTENT_TYPE.decode())

    @get("/monitoring/drift")
    async def drift() -> Response:
        """Compare the latest predictions with the training rows."""
        return await _monitored(service, "drift")

    @get("/monitoring/retraining_trigger")
    async def retraining_trigger() -> Response:
        """Say whether to train again, and why."""
        return await _monitored(service, "retraining_trigger")

    open_inference.add_reading_paths(get)


async def _monitored(service: Service, question: str) -> Response:
    status, body = await service.monitor.ask(question)
    return Response(body, status_code=status, media_type=_media_type(status).decode())


def _media_type(status: int) -> bytes:
    return MEDIA_TYPE if status >= 400 else b"application/json"


def _add_error_answers(app: FastAPI) -> None:
    def answer(request: Request, problem: HttpProblem) -> Response:
        body = problem_body(problem, request.scope)
        return Response(body, problem.status, headers=dict(problem.headers), media_type=MEDIA_TYPE.decode())

    @app.exception_handler(HttpProblem)
    async def http_problem(request: Request, error: HttpProblem) -> Response:
        return answer(request, error)

    @app.exception_handler(TabloopError)
    async def tabloop_error(request: Request, error: TabloopError) -> Response:
        return answer(request, problem_of(error))

    @app.exception_handler(HTTPException)
    async def http_exception(request: Request, error: HTTPException) -> Response:
        codes = {404: "not-found", 405: "method-not-allowed"}
        said = {
            404: f"there is no {request.url.path} here; GET /docs lists what there is",
            405: f"{request.url.path} does not take {request.method}",
        }
        code, detail = codes.get(error.status_code, "refused"), said.get(error.status_code, str(error.detail))
        return answer(
            request, HttpProblem(error.status_code, code, detail, headers=dict(error.headers or {}))
        )

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        return answer(request, HttpProblem(500, "defect", "the service failed; its log tells more"))
