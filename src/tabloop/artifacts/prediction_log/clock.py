"""Whether the wall clock may decide what is old: a leap is believed when it has lasted for a day."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from tabloop.artifacts.files import write_atomic

CLOCK_NAME = ".prediction_log.clock.json"

_LOGGER = logging.getLogger(__name__)

_DAY_S = 86_400.0
_LEAP_S = 30 * _DAY_S


class _Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """The clock at the latest look that was believed, and at the first one that was not; s since 1970."""

    believed_s: float
    doubted_s: float | None = None


def is_believed(folder: Path, now_s: float, *, newest_s: float) -> bool:
    """Tell whether files may be removed by this clock, and note what it shows.

    A clock that is more than 30 days ahead of the look before is either wrong or that of a log that nobody
    wrote for so long. Both look the same at first; the wrong one is set right, so a leap counts from the
    first look that comes a day after it.

    Parameters
    ----------
    folder : pathlib.Path
        The folder that holds the log.
    now_s : float
        The wall clock, in seconds since 1970.
    newest_s : float
        When the newest closed file was last written, likewise; counts where nobody looked before.

    Returns
    -------
    is_believed : bool
    """
    path = folder / CLOCK_NAME
    seen = _read(path) or _Seen(newest_s)
    doubted_s = now_s if seen.doubted_s is None or now_s < seen.doubted_s else seen.doubted_s
    believed = now_s - seen.believed_s <= _LEAP_S or now_s - doubted_s >= _DAY_S
    noted = _Seen(now_s) if believed else _Seen(seen.believed_s, doubted_s)
    write_atomic(path, msgspec.json.encode(noted))
    if not believed:
        _LOGGER.warning(
            "%s: the clock leapt by %.0f days since the log was last looked at; no file is removed by its "
            "age before the clock has been there for a day: set it right if it is wrong",
            folder,
            (now_s - seen.believed_s) / _DAY_S,
        )
    return believed


def _read(path: Path) -> _Seen | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Seen)
    except (FileNotFoundError, msgspec.DecodeError):  # a note, not the log: it is made anew
        return None
