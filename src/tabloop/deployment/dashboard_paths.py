"""The paths of the dashboard: its files, and what it asks for as JSON."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tabloop.deployment.answer_types import json_response
from tabloop.deployment.dashboard_files import dashboard_file, dashboard_files
from tabloop.deployment.dashboard_types.now import Access
from tabloop.deployment.edge import roles_of
from tabloop.deployment.handlers import Service
from tabloop.deployment.paths import Paths, Reader
from tabloop.deployment.queries import QUERIES, read_query

#: The question to the monitor that answers a path.
_QUESTIONS = {
    "/monitoring/overview": ("overview", "Say how the model is, at a glance."),
    "/monitoring/traffic": ("traffic", "Say how much was answered how fast, over time."),
    "/monitoring/windows": ("windows", "Say what was found in windows of rows, over time."),
    "/monitoring/feature": ("feature", "Compare one feature with the training rows."),
    "/monitoring/performance": ("performance", "Say what decisions are worth, over time."),
    "/monitoring/streams": ("streams", "Say how the consumer of a stream stands."),
    "/predictions": ("predictions", "Search the prediction log."),
    "/predictions/{prediction_id}": ("prediction", "Show one prediction, why, and what came true."),
    "/runs": ("runs", "List the runs, and every decision about the champion."),
    "/runs/{run_id}": ("run", "Show one run: figures, settings, gates, what it was made of."),
    "/monitoring/retraining": ("retraining", "Say how the latest retraining stands that the service began."),
}


def add_dashboard_paths(paths: Paths, service: Service) -> None:
    """Add the paths.

    Parameters
    ----------
    paths : Paths
        Takes them.
    service : Service
        Asks the monitor.
    """
    for path in dashboard_files():
        paths.read(path, _file_handler(path))

    @paths.get("/access")
    async def access(request: Request) -> Response:
        """Say whether keys are in force, and what the asker's key allows."""
        keys = service.keys
        roles = {"predict", "read"} if keys is None else roles_of(keys, request.scope)
        return json_response(
            Access(keys_in_force=keys is not None, roles=sorted(roles))  # type: ignore[arg-type]
        )

    for path, (question, said) in _QUESTIONS.items():
        paths.get(path)(_monitored(service, question, said, QUERIES.get(path)))


def _file_handler(path: str) -> Reader:
    async def file(_: Request) -> Response:
        return dashboard_file(path)

    return file


def _monitored(service: Service, question: str, said: str, kind: type[msgspec.Struct] | None) -> Reader:
    async def monitored(request: Request) -> Response:
        if kind is None:
            body = msgspec.json.encode(request.path_params)
        else:
            body = msgspec.json.encode(read_query(request.query_params.multi_items(), kind))
        return await service.shared.respond(request, lambda: service.monitor.ask(question, body))

    monitored.__name__, monitored.__doc__ = question, said
    return monitored
