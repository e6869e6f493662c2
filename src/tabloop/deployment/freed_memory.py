"""Memory that was freed, given back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import gc


def give_back() -> None:
    """Collect what nobody needs any more, and have the C library give free pages back; glibc only.

    Loading a graph takes several times the memory that it keeps. What it freed lies between what stays, and
    glibc would keep all of it.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
