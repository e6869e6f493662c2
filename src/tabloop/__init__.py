"""The whole life of a tabular classifier, from a frame or from one ``config.yaml``.

::

    init(frame, target="churned")       guess a config; edit it           -> ProjectConfig
    train(frame, config)                open a run: candidates, threshold -> Run
    run(frame, config)                  everything up to the release      -> Run
    runs("artifacts")                   what was trained, as a frame
    synthesize(4000)                    made-up students, to try things on
    load("artifacts")                   the champion, or a run            -> Model
    Project("artifacts")                serve, monitor, score, retrain, roll back: what is done with it

What they say of themselves (`help(tabloop.train)`) is with each. A name is imported when it is first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tabloop.api.model import Model, load
    from tabloop.api.project import Project
    from tabloop.api.project_config import ProjectConfig
    from tabloop.api.run import Run
    from tabloop.api.run_list import runs
    from tabloop.api.stages import init, run, train
    from tabloop.api.synthesize import synthesize
    from tabloop.errors import TabloopError

__version__ = "0.1.0"

__all__ = [
    "Model",
    "Project",
    "ProjectConfig",
    "Run",
    "TabloopError",
    "init",
    "load",
    "run",
    "runs",
    "synthesize",
    "train",
]

# ONNX Runtime reports what it is used for unless it is told not to; a service that handles other people's
# rows tells nobody, and the report's own messages are no log of ours. Set it to 0 to let it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_MODULES = {
    "Model": "tabloop.api.model",
    "Project": "tabloop.api.project",
    "ProjectConfig": "tabloop.api.project_config",
    "Run": "tabloop.api.run",
    "TabloopError": "tabloop.errors",
    "init": "tabloop.api.stages",
    "load": "tabloop.api.model",
    "run": "tabloop.api.stages",
    "runs": "tabloop.api.run_list",
    "synthesize": "tabloop.api.synthesize",
    "train": "tabloop.api.stages",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'tabloop' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        from tabloop.extras import is_optional, missing_extra

        if not is_optional(error.name or ""):
            raise
        raise missing_extra(error, f"tabloop.{name}") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
