"""What the config asks for: files, the champion, libraries, services, a port."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.config.origins import settings_of
from tabloop.doctor.finding import Finding
from tabloop.errors import TabloopError
from tabloop.extras import LIBRARIES_OF_EXTRA, install_name, missing_libraries

_CONNECT_S = 2.0
_PORTS = {
    "postgresql": 5432, "mysql": 3306, "mariadb": 3306, "redis": 6379, "rediss": 6379, "nats": 4222,
    "tls": 4222, "amqp": 5672, "amqps": 5671, "http": 80, "https": 443,
}  # fmt: skip
#: The extra that a URL's scheme, or a section's `kind`, needs.
_EXTRA_OF_SCHEME = {"mariadb": "mysql", "sqlite": "sql", "amqp": "rabbitmq", "amqps": "rabbitmq"}
#: Variables that have to be set; brokers have a default address, and keys may be absent.
_ASKED_FOR = ("url_env", "apprise_env", "api_keys_env")
_DEFAULT_PORT = 8000


def examine_project(project: Project, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at what the settings in force name; services are asked for a connection and told nothing.

    Parameters
    ----------
    project : Project
        The settings in force.
    environ : mapping
        Holds the addresses of services.
    """
    dumped = project.config.model_dump(mode="json")
    yield from _examine_source(project)
    yield _examine_champion(project)
    for place, value in settings_of(dumped):
        name = ".".join(place)
        if place[-1] == "kind" and isinstance(value, str):
            yield from _examine_extra(name, value)
        elif place[-1].endswith("_env") and isinstance(value, str):
            yield from _examine_variable(name, value, environ, is_asked_for=place[-1] in _ASKED_FOR)
    if project.config.serving.opentelemetry:
        yield from _examine_extra("serving.opentelemetry", "opentelemetry")
    if project.config.alerts.apprise_env is not None:
        yield from _examine_extra("alerts.apprise_env", "apprise")


def examine_port(port: int = _DEFAULT_PORT) -> Finding:
    """Try whether `tabloop serve` could listen on loopback."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            found = f"{port} on 127.0.0.1: {error.strerror or error}"
            return Finding("port", "warning", found, "tabloop serve --port 0 takes a free one")
    return Finding("port", "ok", f"{port} on 127.0.0.1 is free")


def _examine_source(project: Project) -> Iterator[Finding]:
    path = project.config.data.source.path
    if path is None:
        return
    source = project.resolve(path)
    if not source.is_file():
        yield Finding(
            "data.source", "blocks", f"{source}: no such file", "put it there, or correct data.source.path"
        )
    elif not os.access(source, os.R_OK):
        mend = f"let this user read it: chmod u+r {source}, or its owner's chmod"
        yield Finding("data.source", "blocks", f"{source}: may not be read", mend)
    else:
        yield Finding("data.source", "ok", f"{source}: {source.stat().st_size / 1e6:,.1f} MB")


def _examine_champion(project: Project) -> Finding:
    store = RunStore(project.model_dir)
    try:
        if store.champion_name() is None:
            return Finding("champion", "note", "none yet", "tabloop run trains and releases one")
        run = store.require_champion()
    except TabloopError as error:
        return Finding(
            "champion", "blocks", str(error), "tabloop runs lists what there is; tabloop rollback RUN"
        )
    if datetime.fromisoformat(run.created_at) > datetime.now(UTC):
        found = f"{run.run_id} was made in the future"
        return Finding("champion", "warning", found, "set the clock: runs are ordered by it")
    return Finding("champion", "ok", f"{run.run_id}, made {run.created_at}")


def _examine_extra(name: str, kind: str) -> Iterator[Finding]:
    extra = _EXTRA_OF_SCHEME.get(kind, kind)
    missing = missing_libraries(extra) if extra in LIBRARIES_OF_EXTRA else []
    if missing:
        found = f"{kind} needs {', '.join(missing)}, not installed"
        yield Finding(name, "blocks", found, f"pip install {install_name(extra)}")


def _examine_variable(
    name: str, variable: str, environ: Mapping[str, str], *, is_asked_for: bool
) -> Iterator[Finding]:
    """Look at a variable and at the service it names; nothing of a value is shown but host and port."""
    value = environ.get(variable, "")
    if not value:
        if is_asked_for and not name.startswith("stream."):  # brokers have a default address
            yield Finding(
                name, "blocks", f"{variable} is not set", f"export {variable}=... before you start tabloop"
            )
        return
    try:
        url = urlsplit(value)
        scheme, host, port = url.scheme.partition("+")[0], url.hostname, url.port
    except ValueError:
        return
    if not host or not scheme:
        return
    yield from _examine_extra(name, scheme)
    where = (host, port or _PORTS.get(scheme, 0))
    try:
        socket.create_connection(where, _CONNECT_S).close()
    except OSError as error:
        found = f"{host}:{where[1]} ({variable}): {error.strerror or error}"
        yield Finding(name, "blocks", found, "start the service, or correct host and port in the variable")
    else:
        yield Finding(name, "ok", f"{host}:{where[1]} ({variable}) takes connections")
