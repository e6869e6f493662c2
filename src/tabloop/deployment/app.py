"""The HTTP service: which path does what."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from tabloop import __version__
from tabloop.contract.checks.record import shown_text
from tabloop.deployment import metrics
from tabloop.deployment.answer_types import json_response
from tabloop.deployment.dashboard_paths import add_dashboard_paths
from tabloop.deployment.edge import Edge, Send, problem_body
from tabloop.deployment.handlers import Service
from tabloop.deployment.open_inference import INFER_PATHS, OpenInference
from tabloop.deployment.openapi_document import describe_operations, describe_service
from tabloop.deployment.problems import MEDIA_TYPE, HttpProblem, problem_of
from tabloop.deployment.request_body import Receive, Scope
from tabloop.errors import TabloopError

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
    open_inference = OpenInference(service)
    operations = describe_operations()
    lean: list[tuple[str, Handler]] = [
        ("/predict", service.predict),
        ("/batch_predict", service.batch_predict),
        ("/explain", service.explain),
        ("/feedback", service.feedback),
        ("/promote", service.promote),
        ("/rollback", service.rollback),
        ("/retrain", service.retrain),
        *((path, open_inference.infer) for path in INFER_PATHS),
    ]
    for path, handler in lean:
        route = LeanRoute(path, handler, methods=["POST"], response_model=None, **operations[path])
        app.router.routes.append(route)
    _add_reading_paths(app, service, open_inference, operations)
    _add_error_answers(app)
    app.openapi = lambda: describe_service(  # type: ignore[method-assign]
        app, service.model, model_name=open_inference.model_name, asks_for_keys=service.keys is not None
    )
    routes = {
        route.path: route.app
        for route in app.routes
        if isinstance(route, LeanRoute) and "{" not in route.path
    }
    return Edge(app, routes=routes, keys=service.keys, hosts=hosts, request_log=request_log)


def _add_reading_paths(
    app: FastAPI, service: Service, open_inference: OpenInference, operations: dict[str, Any]
) -> None:
    def get(path: str) -> Decorator:
        return app.get(path, response_model=None, **operations[path])

    @get("/health")
    async def health() -> Response:
        """Say how the service is."""
        return json_response(await service.health())

    @get("/health/live")
    async def health_live() -> Any:
        """Answer as long as the process runs."""
        return {"live": True}

    @get("/health/ready")
    async def health_ready() -> Any:
        """Answer 200 when requests can be answered."""
        await service.require_ready()
        return {"ready": True, "run_id": service.model.run_id}

    @get("/model")
    async def model() -> Response:
        """Describe the model that answers: card, promise, hashes, contract."""
        return json_response(service.model.description)

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
    add_dashboard_paths(app, get, service)


async def _monitored(service: Service, question: str) -> Response:
    return Response(await service.monitor.ask(question), media_type="application/json")


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

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        return answer(request, HttpProblem("defect", "the service failed; its log tells more"))
