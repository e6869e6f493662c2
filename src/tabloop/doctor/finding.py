"""One thing that the doctor looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "warning", "blocks"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do.

    Attributes
    ----------
    subject : str
        What was looked at: `python`, `disk`, `extra train`, `data.source`, ...
    state : {"ok", "note", "warning", "blocks"}
        A note is for information; a warning will hurt some day; what blocks makes a command fail now.
    found : str
        What is the case, with the figure.
    mend : str
        What to do; empty where nothing has to be done.
    """

    subject: str
    state: State
    found: str
    mend: str = ""
