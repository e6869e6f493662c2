"""The paths of the service, found by Starlette; FastAPI hears of them when their description is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tabloop.deployment.edge import Send
from tabloop.deployment.request_body import Receive, Scope

Handler: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Reader: TypeAlias = Callable[[Request], Awaitable[Response]]
Decorator: TypeAlias = Callable[[Reader], Reader]


class LeanRoute(Route):
    """A route that is found by its path and method, and whose handler speaks ASGI itself."""

    def __init__(self, path: str, handler: Handler, *, methods: list[str]) -> None:
        super().__init__(path, _not_called, methods=methods)
        self.methods = set(methods)  # Starlette adds HEAD, which never comes here
        self.app = handler


async def _not_called(request: Request) -> Response:
    raise AssertionError


class DescribedPath(NamedTuple):
    """A path of the OpenAPI document, whose handler's name and docstring are told there."""

    path: str
    method: str
    handler: Callable[..., Any]


class Paths:
    """Takes the paths in, in the order in which they are described.

    Attributes
    ----------
    routes : list of Route
        All of them.
    described : list of DescribedPath
        Those that the OpenAPI document has.
    """

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self.described: list[DescribedPath] = []

    def post(self, path: str, handler: Handler) -> None:
        """Add a path that takes a body; its handler speaks ASGI itself."""
        self.routes.append(LeanRoute(path, handler, methods=["POST"]))
        self.described.append(DescribedPath(path, "POST", handler))

    def get(self, path: str) -> Decorator:
        """Add a path that is read."""

        def add(reader: Reader) -> Reader:
            self.read(path, reader)
            self.described.append(DescribedPath(path, "GET", reader))
            return reader

        return add

    def read(self, path: str, reader: Reader) -> None:
        """Add a path that is read and not described."""
        route = Route(path, reader, methods=["GET"])
        route.methods = {"GET"}
        self.routes.append(route)

    def lean_routes(self) -> dict[str, Handler]:
        """Give the handlers of those that take a body and have no part that varies, by path."""
        return {
            each.path: each.app
            for each in self.routes
            if isinstance(each, LeanRoute) and "{" not in each.path
        }
