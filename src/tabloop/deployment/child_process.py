"""What the service's processes share: settings in, ready and signs of life out, an end with the parent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabloop.deployment.json_log import log_as_json
from tabloop.deployment.supervisor import CHECK_FAILED
from tabloop.errors import CheckFailedError, TabloopError

if TYPE_CHECKING:
    from tabloop.config.loading import Project

#: How often a process says that its loop turns.
_SIGN_OF_LIFE_S = 1.0


class ChildSettings:
    """What the supervisor told this process.

    Attributes
    ----------
    values : dict
        The message.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    @cached_property
    def project(self) -> Project:
        """Every setting in force.

        What checks them all takes 10 MB and a quarter of a worker's imports: who answers is told its own.
        """
        from tabloop.config.config import Config
        from tabloop.config.loading import Project

        config = Config.model_validate_json(self.values["config"])
        return Project(config, Path(self.values["config_path"]))

    async def tell_ready(self) -> None:
        """Tell the supervisor that this process is ready, and again and again that its loop still turns."""
        self._tell(b"ready\n")
        os.set_blocking(self.values["ready_fd"], False)  # a supervisor that is stopped stops nobody else
        while True:
            await asyncio.sleep(_SIGN_OF_LIFE_S)
            self._tell(b".")

    def tell_failure(self, error: Exception) -> None:
        """Tell the supervisor why this process cannot start, and whether a check said no."""
        kind = CHECK_FAILED if isinstance(error, CheckFailedError) else b""
        self._tell(kind + (str(error).encode(errors="replace") or b"no reason given"))

    def _tell(self, text: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self.values["ready_fd"], text)


@contextlib.contextmanager
def starting() -> Iterator[ChildSettings]:
    """Read the settings; what is raised while the process starts is told to the supervisor."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again
    log_as_json()
    settings = ChildSettings(json.loads(sys.stdin.buffer.readline()))
    try:
        yield settings
    except TabloopError as error:
        settings.tell_failure(error)
        sys.exit(2)


def stop_with_parent(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Call `stop` when standard input ends: the parent is gone, with or without a word."""

    def look() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            stop()

    os.set_blocking(0, False)
    loop.add_reader(0, look)
