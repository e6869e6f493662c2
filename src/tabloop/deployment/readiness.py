"""Whether a request would be answered, for balancers that ask before they send any."""

from __future__ import annotations

import time

from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.deployment import metrics
from tabloop.deployment.off_loop import OffLoop

#: Balancers ask every few seconds, perhaps several of them; one try does for all.
_TRY_AGAIN_S = 1.0
#: A disk that takes longer to open a file would keep requests waiting as well.
_LONGEST_TRY_S = 3.0


class Readiness:
    """Tries the prediction log.

    Where rows are refused while the log cannot be written, a balancer that is told so sends none, and no row
    would find out that the log can be written again. So the log is tried whenever somebody asks.

    Parameters
    ----------
    log : PredictionLogWriter
        The log.
    """

    def __init__(self, log: PredictionLogWriter) -> None:
        self._log = log
        self._trial = OffLoop(log.check, _LONGEST_TRY_S)
        self._tried_at = float("-inf")
        self._problem: str | None = None

    async def problem(self) -> str | None:
        """Say why the next row would be refused; None when it would be answered."""
        if not self._log.refuses_when_unwritable:
            return None
        if time.monotonic() - self._tried_at >= _TRY_AGAIN_S:
            try:
                self._problem = await self._trial.result()
            except TimeoutError:
                self._problem = f"cannot be written: its disk did not answer for {_LONGEST_TRY_S:g} s"
            self._tried_at = time.monotonic()
            metrics.log_state.note(failed=self._problem is not None)
        return self._problem
