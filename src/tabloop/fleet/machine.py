"""One machine of the fleet: its name, and what it last said of itself."""

from __future__ import annotations

import json
import re
import secrets
import socket
from pathlib import Path

import msgspec

from tabloop.artifacts.files import json_bytes, locked, write_atomic
from tabloop.errors import ArtifactError

#: Beside the log that the name belongs to.
MACHINE_FILE = "machine.json"
FORMAT_VERSION = 1


class MachineReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine says of itself, again and again.

    Attributes
    ----------
    machine : str
        Its name.
    written_at : str
        When it said so, ISO 8601 in UTC.
    complete_before : str
        Every prediction whose id is less than this one is on the remote.
    complete_before_time : str
        The time of that id.
    waiting_files : int
        Closed files of the log that are not on the remote yet.
    run_id : str or None
        The champion of the machine.
    left_at : str or None
        When it stopped for good order, all of its log shipped; None while it serves.
    """

    format_version: int = FORMAT_VERSION
    machine: str
    written_at: str
    complete_before: str
    complete_before_time: str
    waiting_files: int
    run_id: str | None
    left_at: str | None = None


def machine_name(model_dir: Path) -> str:
    """Give the name of the machine that writes the log of this folder; the first to ask makes it.

    It stays with the folder, so that a machine that starts again goes on where it was, and two machines of
    the same host name are two.

    Raises
    ------
    ArtifactError
        If what is there is no name.
    """
    path = model_dir / MACHINE_FILE
    with locked(model_dir / f".{MACHINE_FILE}.lock"):
        if not path.exists():
            host = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")[:48] or "machine"
            write_atomic(path, json_bytes({"machine": f"{host}-{secrets.token_hex(4)}"}))
        try:
            name = json.loads(path.read_bytes())["machine"]
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path}: holds no name of a machine; remove it") from error
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise ArtifactError(f"{path}: holds no name of a machine; remove it")
    return name
