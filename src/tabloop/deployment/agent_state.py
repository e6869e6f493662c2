"""What the agent of a machine that has a remote knows, and how `/health` reads it."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from tabloop.deployment.answer_types import PointerHealth, ShippingHealth

#: `/health` calls it a trouble when the remote was not reached for so long.
_SILENCE_S = 60.0


class AgentState(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent writes down after each look; times are seconds since 1970."""

    pointer: str | None = None
    pointer_run_id: str | None = None
    pointer_looked_at: float | None = None
    pointer_problem: str | None = None
    machine: str | None = None
    waiting_files: int = 0
    shipped_at: float | None = None
    ship_problem: str | None = None

    def pointer_health(self) -> PointerHealth | None:
        """Say what `/health` says of the pointer; None where none is followed."""
        if self.pointer is None:
            return None
        return PointerHealth(
            name=self.pointer, run_id=self.pointer_run_id, last_look_s=_ago_s(self.pointer_looked_at)
        )

    def shipping_health(self) -> ShippingHealth | None:
        """Say what `/health` says of shipping; None where nothing is shipped."""
        if self.machine is None:
            return None
        return ShippingHealth(
            machine=self.machine, waiting_files=self.waiting_files, last_shipped_s=_ago_s(self.shipped_at)
        )

    def troubles(self) -> list[str]:
        """Say what is wrong, in whole sentences."""
        told = []
        if self.pointer_problem is not None:
            told.append(f"pointer {self.pointer} is not followed: {self.pointer_problem}")
        elif self.pointer is not None and (_ago_s(self.pointer_looked_at) or 0.0) > _SILENCE_S:
            told.append(
                f"nobody looked at pointer {self.pointer} for a while; the log of the agent tells why"
            )
        if self.ship_problem is not None:
            told.append(f"the prediction log waits on the disk to be shipped: {self.ship_problem}")
        return told


def read_agent_state(path: Path | None) -> AgentState:
    """Read what the agent wrote; nothing where there is no agent, or it has not looked yet."""
    if path is None:
        return AgentState()
    try:
        return msgspec.json.decode(path.read_bytes(), type=AgentState)
    except (OSError, msgspec.DecodeError):
        return AgentState()


def _ago_s(moment_s: float | None) -> float | None:
    return None if moment_s is None else round(max(0.0, time.time() - moment_s), 3)
