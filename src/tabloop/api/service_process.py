"""The process of a service that Python started: it serves until the starter closes its standard input."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.deployment.serve import Address, serve
from tabloop.errors import TabloopError


def main() -> None:
    """Read the settings from standard input, say on standard output where the service answers, and serve."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is log
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the interrupt of a notebook's cell is not meant for it
    told = json.loads(sys.stdin.buffer.readline())
    project = Project(Config.model_validate_json(told["config"]), Path(told["config_path"]))

    def say(**answer: str) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    def ready(address: Address) -> None:
        threading.Thread(target=_stop_with_starter, daemon=True).start()
        say(url=address.url, run_id=address.run_id)

    try:
        serve(project, host=told["host"], port=told["port"], workers=told["workers"], ready=ready)
    except TabloopError as error:
        say(error=str(error))
        sys.exit(2)


def _stop_with_starter() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
