"""`/docs` and `/openapi.json`: made by FastAPI, which is imported when somebody asks for them first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from tabloop import __version__
from tabloop.deployment.edge import Send
from tabloop.deployment.open_inference import OpenInference
from tabloop.deployment.paths import DescribedPath, LeanRoute
from tabloop.deployment.request_body import Receive, Scope

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tabloop.deployment.handlers import Service

_PATHS = ("/openapi.json", "/docs", "/docs/oauth2-redirect", "/static-offline-docs/{file:path}")


class Documentation:
    """Describes the service.

    Parameters
    ----------
    described : sequence of DescribedPath
        Its paths.
    service : Service
        Its model, and whether there are keys.
    """

    def __init__(self, described: Sequence[DescribedPath], service: Service) -> None:
        self._described = described
        self._service = service
        self._app: FastAPI | None = None

    def routes(self) -> list[LeanRoute]:
        """Give the paths at which it is."""
        return [LeanRoute(path, self._answer, methods=["GET"]) for path in _PATHS]

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            self._app = await asyncio.to_thread(self.application)
        await self._app(scope, receive, send)

    def application(self) -> FastAPI:
        """Make the application that describes; none of the described paths is asked there."""
        from fastapi.routing import APIRoute
        from fastapi_offline import FastAPIOffline

        from tabloop.deployment.openapi_document import describe_operations, describe_service

        service = self._service
        app = FastAPIOffline(
            title=f"tabloop: {service.model.contract.target.name}",
            version=__version__,
            redoc_url=None,
            swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
        )
        operations = describe_operations()
        for path, method, handler in self._described:
            told = operations[path]
            route = APIRoute(path, _documented(handler), methods=[method], response_model=None, **told)
            app.router.routes.append(route)
        app.openapi = lambda: describe_service(  # type: ignore[method-assign]
            app,
            service.model,
            model_name=OpenInference(service).model_name,
            asks_for_keys=service.keys is not None,
        )
        return app


def _documented(handler: Callable[..., Any]) -> Callable[[Request], Any]:
    async def documented(request: Request) -> Response:  # never called
        raise AssertionError

    documented.__name__, documented.__doc__ = handler.__name__, handler.__doc__
    return documented
