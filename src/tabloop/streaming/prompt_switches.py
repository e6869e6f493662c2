"""How long a thread that has work waits for another one that is busy in Python."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

_SWITCH_S = 0.0005

_lock = threading.Lock()
_entered = 0
_before_s = 0.0


@contextlib.contextmanager
def prompt_switches() -> Iterator[None]:
    """Have the interpreter switch between threads ten times as often as by default.

    A thread that is done with the model waits for the event loop, which reads and writes meanwhile, before it
    can begin with the next batch; with the default of 5 ms it waits about as long as a batch takes. There is
    one interval for the whole process; it is as before when the last one leaves.

    Examples
    --------
    >>> with prompt_switches():
    ...     round(sys.getswitchinterval(), 6)
    0.0005
    """
    global _entered, _before_s
    with _lock:
        if not _entered:
            _before_s = sys.getswitchinterval()
            sys.setswitchinterval(min(_before_s, _SWITCH_S))
        _entered += 1
    try:
        yield
    finally:
        with _lock:
            _entered -= 1
            if not _entered:
                sys.setswitchinterval(_before_s)
