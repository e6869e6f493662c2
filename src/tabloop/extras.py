"""Which libraries are installed only when they are asked for, and the command that brings them.

`pip install tabloop` brings what reads a contract and scores with ONNX Runtime. Everything else is an extra
of `pyproject.toml`: `train` makes runs, `serve` answers over HTTP, `monitor` computes drift and performance,
and so on. A test compares the table below with `pyproject.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from tabloop.errors import MissingExtraError

#: What each extra brings, by the names that its libraries are imported by.
LIBRARIES_OF_EXTRA: Mapping[str, tuple[str, ...]] = {
    "serve": ("fastapi", "fastapi_offline", "httptools", "prometheus_client", "uvicorn", "uvloop"),
    "train": (
        "polars", "sklearn", "scipy", "onnx", "skl2onnx", "joblib", "threadpoolctl", "rich", "uvloop",
        "jinja2", "resvg_py", "font_lato",
    ),
    "monitor": ("scipy", "threadpoolctl", "jinja2"),
    "sql": ("sqlalchemy",),
    "postgresql": ("sqlalchemy", "psycopg", "adbc_driver_postgresql", "adbc_driver_manager"),
    "mysql": ("sqlalchemy", "pymysql"),
    "duckdb": ("sqlalchemy", "duckdb"),
    "redis": ("redis", "hiredis", "uvloop"),
    "nats": ("nats", "uvloop"),
    "rabbitmq": ("aio_pika", "uvloop"),
    "kafka": ("confluent_kafka", "uvloop"),
    "lightgbm": ("lightgbm",),
    "xgboost": ("xgboost",),
    "catboost": ("catboost",),
    "search": ("optuna",),
    "remote": ("obstore",),
    "ray": ("ray",),
    "apprise": ("apprise",),
    "mlflow": ("mlflow", "pandas"),
    "opentelemetry": ("opentelemetry",),
}  # fmt: skip

_SHOWN = 3


def missing_libraries(extra: str) -> list[str]:
    """List what an extra brings and is not installed.

    Parameters
    ----------
    extra : str
        One of `LIBRARIES_OF_EXTRA`.

    Returns
    -------
    missing : list of str
        Names to import; empty where the extra is installed.
    """
    return [library for library in LIBRARIES_OF_EXTRA[extra] if find_spec(library) is None]


def require_extra(extra: str, needed_by: str) -> None:
    """Raise unless every library of an extra is installed; nothing is imported.

    Parameters
    ----------
    extra : str
        One of `LIBRARIES_OF_EXTRA`.
    needed_by : str
        What cannot work without it, such as a command.

    Raises
    ------
    MissingExtraError
        If a library is not there; one line, with the command that brings it.
    """
    missing = missing_libraries(extra)
    if missing:
        raise MissingExtraError(_sentence(needed_by, missing, f"pip install {install_name(extra)}"))


def missing_extra(error: ModuleNotFoundError, needed_by: str) -> MissingExtraError:
    """Say which command installs a library that could not be imported.

    Parameters
    ----------
    error : ModuleNotFoundError
        The error that the import raised.
    needed_by : str
        What cannot work without it, such as a setting.

    Examples
    --------
    >>> print(missing_extra(ModuleNotFoundError(name="redis.asyncio"), "stream.source"))
    stream.source needs redis, which is not installed: pip install 'tabloop[redis]'
    """
    library = (error.name or "").partition(".")[0]
    extra = next((extra for extra, brings in LIBRARIES_OF_EXTRA.items() if library in brings), None)
    return MissingExtraError(
        _sentence(needed_by, [library], f"pip install {install_name(extra) if extra else library}")
    )


def is_optional(library: str) -> bool:
    """Tell whether an extra of tabloop brings the library of this import name."""
    top = library.partition(".")[0]
    return any(top in brings for brings in LIBRARIES_OF_EXTRA.values())


def install_name(extra: str) -> str:
    """Write what `pip install` takes for an extra, quoted for a shell.

    Examples
    --------
    >>> install_name("train")
    "'tabloop[train]'"
    """
    return f"'tabloop[{extra}]'"


def _sentence(needed_by: str, missing: Sequence[str], command: str) -> str:
    shown = list(missing[:_SHOWN])
    more = len(missing) - len(shown)
    shown += [f"{more} more"] * (more > 0)
    listed = " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
    return f"{needed_by} needs {listed}, which {'is' if len(shown) == 1 else 'are'} not installed: {command}"
