"""A retraining that the service began: `python -m tabloop.monitoring.retrain_process`.

Its settings come on standard input. What it says goes to standard output, a line at a time; how it ended is
in `monitoring/retrain.json`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tabloop.artifacts.files import json_bytes, utc_now, write_atomic
from tabloop.artifacts.layout import RETRAIN_STATE
from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.errors import CheckFailedError, TabloopError
from tabloop.progress import PoolState


@dataclass(frozen=True)
class Told:
    """What is told of a retraining.

    Attributes
    ----------
    pid : int
        Its process.
    reason : str
        Why it was begun.
    begun_at, ended_at : str
        ISO 8601 in UTC; the second None while it is under way.
    exit_code : int or None
        0 where the challenger went live, 1 where it was refused, else it failed.
    """

    pid: int
    reason: str
    begun_at: str = field(default_factory=utc_now)
    ended_at: str | None = None
    exit_code: int | None = None

    def save(self, path: Path) -> None:
        """Write it to a file, in one step."""
        write_atomic(path, json_bytes(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Told | None:
        """Read it; None where there is nothing, or nothing that can be read."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return cls(**json.loads(path.read_bytes()))
        return None


class _Lines:
    """Progress as lines."""

    def __init__(self) -> None:
        self._told = -1

    def step(self, text: str) -> None:
        say(text)

    def fraction(self, fraction: float) -> None:
        if int(fraction * 10) > self._told:
            self._told = int(fraction * 10)
            say(f"{self._told * 10}% done")

    def tasks(self, state: PoolState) -> None:
        if state.done != self._told:
            self._told = state.done
            say(f"{state.done} of {state.total} tasks: {state.describe()} {state.left()}".rstrip())


def say(text: str) -> None:
    """Write a line with the time."""
    print(f"{utc_now()[11:19]} {text}", flush=True)


def main() -> None:
    """Train, and say how it ended."""
    message = json.load(sys.stdin)
    project = Project(Config.model_validate_json(message["config"]), Path(message["config_path"]))
    path = project.model_dir / RETRAIN_STATE
    told = Told(os.getpid(), message["reason"])
    told.save(path)
    say(f"retraining: {told.reason}")
    code = 3
    try:
        code = _retrain(project)
    except CheckFailedError as error:
        say(f"refused: {error}")
        code = 1
    except TabloopError as error:
        say(f"failed: {error}")
        code = 2
    except Exception:
        traceback.print_exc()
    finally:
        replace(told, ended_at=utc_now(), exit_code=code).save(path)
    sys.exit(code)


def _retrain(project: Project) -> int:
    from tabloop.extras import require_extra

    require_extra("train", "a retraining")
    from tabloop.retraining.retrain import retrain

    report = retrain(project, _Lines())
    if report.release is None:
        say(f"nothing was trained; run {report.champion_run_id} stays")
        return 1
    for gate in report.release.gates:
        say(f"{'passed' if gate.passed else 'refused'}  {gate.name}: {gate.reason}")
    say(f"run {report.release.run_id} {'is the champion' if report.promoted else 'was refused'}")
    return 0 if report.promoted else 1


if __name__ == "__main__":
    main()
