"""Commands that die at a given function, each in a process of its own."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from tabloop.cli import main

# every process is a fork of one that has imported what they all need
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "tabloop.training.task",
        "tabloop.lifecycle.run_all",
        "tabloop.retraining.retrain",
        "tests.retraining.doomed",
    ]
)


def run_until_killed(folder: Path, module: str, name: str, *command: str) -> int | None:
    """Run a command in a folder until it gets to a function, such as `RunFolder.seal`; give its exit code."""
    process = _CONTEXT.Process(target=_run, args=(folder, module, name, command))
    process.start()
    process.join(300)
    return process.exitcode


def _run(folder: Path, module: str, name: str, command: tuple[str, ...]) -> None:
    os.chdir(folder)
    owner: Any = importlib.import_module(module)
    *path, function = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, function, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    main(command)
