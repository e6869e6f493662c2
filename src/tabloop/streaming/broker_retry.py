"""Patience with a broker that does not answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from tabloop.errors import BrokerUnavailableError

_LOGGER = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0


class BrokerRetry:
    """Calls a broker; where it does not answer, again until it does or the time is over.

    Parameters
    ----------
    give_up_after_s : float
        The time for which one call is tried.

    Examples
    --------
    >>> async def answer(number):
    ...     return number + 1
    >>> asyncio.run(BrokerRetry(60.0)(answer, 1))
    2
    """

    def __init__(self, give_up_after_s: float) -> None:
        self._give_up_after_s = give_up_after_s

    async def __call__(self, call: Callable[..., Awaitable[_Answer]], *arguments: object) -> _Answer:
        """Call with pauses that double.

        Raises
        ------
        BrokerUnavailableError
            If the last try failed as well.
        """
        give_up_s = monotonic() + self._give_up_after_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await call(*arguments)
            except BrokerUnavailableError as error:
                if monotonic() + pause_s > give_up_s:
                    raise
                _LOGGER.warning("%s; trying again", error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
