"""The HTTP service: which path does what."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tabloop.contract.checks.record import shown_text
from tabloop.deployment import metrics
from tabloop.deployment.answer_types import json_response
from tabloop.deployment.dashboard_paths import add_dashboard_paths
from tabloop.deployment.documentation import Documentation
from tabloop.deployment.edge import Edge, problem_body
from tabloop.deployment.handlers import Service
from tabloop.deployment.open_inference import INFER_PATHS, OpenInference
from tabloop.deployment.paths import Paths
from tabloop.deployment.problems import MEDIA_TYPE, HttpProblem, problem_of
from tabloop.errors import TabloopError


def create_app(
    service: Service,
    *,
    hosts: re.Pattern[bytes] | None = None,
    request_log: str = "errors",
    lifespan: Any = None,
) -> Edge:
    """Put the paths together.

    Parameters
    ----------
    service : Service
        The handlers.
    hosts : re.Pattern, optional
        What the header `Host` may be; see `own_hosts`.
    request_log : {"none", "errors", "all"}
        The requests that are logged.

    Returns
    -------
    edge : Edge
        The ASGI application to serve: Starlette's, behind what every request passes.
    """
    paths = add_paths(service)
    documentation = Documentation(paths.described, service)
    app = Starlette(
        routes=[*paths.routes, *documentation.routes()],
        lifespan=lifespan,
        exception_handlers=_error_answers(),
    )
    app.router.redirect_slashes = False  # behind a proxy that does TLS they would lead to the wrong scheme
    return Edge(app, routes=paths.lean_routes(), keys=service.keys, hosts=hosts, request_log=request_log)


def add_paths(service: Service) -> Paths:
    """Give every path of the service, but for those of its own description."""
    open_inference = OpenInference(service)
    paths = Paths()
    paths.post("/predict", service.predict)
    paths.post("/batch_predict", service.batch_predict)
    paths.post("/explain", service.explain)
    paths.post("/feedback", service.feedback)
    paths.post("/promote", service.promote)
    paths.post("/rollback", service.rollback)
    paths.post("/retrain", service.retrain)
    for path in INFER_PATHS:
        paths.post(path, open_inference.infer)
    _add_reading_paths(paths, service)
    open_inference.add_reading_paths(paths.get)
    add_dashboard_paths(paths, service)
    return paths


def _add_reading_paths(paths: Paths, service: Service) -> None:
    get = paths.get

    @get("/health")
    async def health(request: Request) -> Response:
        """Say how the service is."""
        return await service.shared.respond(request, service.health_json)

    @get("/health/live")
    async def health_live(_: Request) -> Response:
        """Answer as long as the process runs."""
        return json_response({"live": True})

    @get("/health/ready")
    async def health_ready(_: Request) -> Response:
        """Answer 200 when requests can be answered."""
        await service.require_ready()
        return json_response({"ready": True, "run_id": service.model.run_id})

    @get("/model")
    async def model(_: Request) -> Response:
        """Describe the model that answers: card, promise, hashes, contract."""
        return json_response(service.model.description)

    @get("/metrics")
    async def read_metrics(_: Request) -> Response:
        """Give every figure, exact across workers, in Prometheus' text format."""
        rendered = await asyncio.to_thread(metrics.render)
        return Response(rendered, media_type=metrics.CONTENT_TYPE.decode())

    @get("/monitoring/drift")
    async def drift(request: Request) -> Response:
        """Compare the latest predictions with the training rows."""
        return await service.shared.respond(request, lambda: service.monitor.ask("drift"))

    @get("/monitoring/retraining_trigger")
    async def retraining_trigger(_: Request) -> Response:
        """Say whether to train again, and why."""
        return Response(await service.monitor.ask("retraining_trigger"), media_type="application/json")


def _error_answers() -> dict[Any, Any]:
    def answer(request: Request, problem: HttpProblem) -> Response:
        body = problem_body(problem, request.scope)
        return Response(body, problem.status, headers=dict(problem.headers), media_type=MEDIA_TYPE.decode())

    async def http_problem(request: Request, error: HttpProblem) -> Response:
        return answer(request, error)

    async def tabloop_error(request: Request, error: TabloopError) -> Response:
        return answer(request, problem_of(error))

    async def http_exception(request: Request, error: HTTPException) -> Response:
        path = shown_text(request.url.path)
        match error.status_code:  # of the router's own
            case 404:
                problem = HttpProblem("not-found", f"there is no {path} here; GET /docs lists what there is")
            case 405:
                said = f"{path} does not take {request.method}"
                problem = HttpProblem("method-not-allowed", said, more_headers=dict(error.headers or {}))
            case _:
                raise error
        return answer(request, problem)

    async def defect(request: Request, error: Exception) -> Response:
        return answer(request, HttpProblem("defect", "the service failed; its log tells more"))

    return {
        HttpProblem: http_problem,
        TabloopError: tabloop_error,
        HTTPException: http_exception,
        Exception: defect,
    }
