"""Calls that may never come back, kept off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

Result = TypeVar("Result")


class OffLoop(Generic[Result]):
    """Calls a function in a thread of its own, one call at a time, and waits so long and no longer.

    A thread that reads from a device or a file system that does not answer cannot be ended. It is left
    behind as a daemon, which does not keep the process from stopping; there is never a second one.

    Parameters
    ----------
    call : callable
        The function.
    timeout_s : float, optional
        How long one call may take; None where it has a limit of its own.
    """

    def __init__(self, call: Callable[[], Result], timeout_s: float | None = None) -> None:
        self._call = call
        self._timeout_s = timeout_s
        self._under_way: asyncio.Future[Result] | None = None

    async def result(self) -> Result:
        """Give what the function returns; who asks while it is called waits for that call.

        Raises
        ------
        TimeoutError
            If it does not come back in time; asked again, this waits for the same call again.
        """
        if self._under_way is None or self._under_way.done():
            self._under_way = self._start()
        async with asyncio.timeout(self._timeout_s):
            return await asyncio.shield(self._under_way)

    def _start(self) -> asyncio.Future[Result]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        # one that nobody waits for any more has failed unheard
        future.add_done_callback(lambda done: done.cancelled() or done.exception())

        def run() -> None:
            try:
                settle = partial(future.set_result, self._call())
            except Exception as error:
                settle = partial(future.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle)

        threading.Thread(target=run, name="off-loop", daemon=True).start()
        return future
