"""What the processes of one service share while it runs: files of counters, and the monitor's socket."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tabloop.artifacts.files import locked
from tabloop.artifacts.layout import SERVING_STATE
from tabloop.errors import ServingError

#: One file for each kind of figure in `metrics`; gauges by how they are put together.
_KINDS = ("counter", "histogram", "gauge_livesum", "gauge_livemax", "gauge_mostrecent")
#: Twice what the histograms of all paths take, and a thousand champions.
_FILE_BYTES = 1 << 18
#: Refused rows are counted by column and reason.
_COLUMN_BYTES = 1 << 12
_LONGEST_SOCKET_PATH = 100
_OWNER = "owner"


class StateFolder:
    """A private folder of one service, with room claimed in advance.

    The files of counters are mapped into memory: on a full disk, a page without room would end the
    process that counts. Each place of a process has its files for good. Whoever stands in for a
    process that died goes on with its counters, so they stay exact and there are never more files to add up.

    Parameters
    ----------
    path : pathlib.Path
        The folder; `open_state_folder` makes it.
    n_processes : int
        Places.
    n_columns : int
        The number of columns of the contract.
    """

    def __init__(self, path: Path, n_processes: int, n_columns: int) -> None:
        self.path = path
        self._n_processes = n_processes
        self._file_bytes = _FILE_BYTES + n_columns * _COLUMN_BYTES

    def environ(self, place: int) -> dict[str, str]:
        """Give the variables that tell a process where it counts, see `metrics`."""
        return {"PROMETHEUS_MULTIPROC_DIR": str(self.path.absolute()), "TABLOOP_PLACE": str(place)}

    def claim(self) -> None:
        """Make what is not there, with its room on the disk.

        Raises
        ------
        OSError
            If there is no room.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for place in range(self._n_processes):
            for kind in _KINDS:
                with contextlib.suppress(FileExistsError):
                    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
                    descriptor = os.open(self.path / f"{kind}_{place}.db", flags, 0o600)
                    try:
                        os.posix_fallocate(descriptor, 0, self._file_bytes)
                    except OSError:
                        (self.path / f"{kind}_{place}.db").unlink()
                        raise
                    finally:
                        os.close(descriptor)


@contextlib.contextmanager
def open_state_folder(model_dir: Path, n_processes: int, n_columns: int) -> Iterator[StateFolder]:
    """Make a service's folder below the artifact folder, or in TMPDIR where there is no room.

    It is removed after; so are those of services that were killed.

    Raises
    ------
    ServingError
        If there is no room in either.
    """
    problems = []
    with contextlib.ExitStack() as kept:
        for parent in (model_dir / SERVING_STATE, Path(tempfile.gettempdir()) / f"tabloop-{os.getuid()}"):
            with contextlib.ExitStack() as opening:
                try:
                    parent.mkdir(mode=0o700, exist_ok=True)
                    if parent.stat().st_uid != os.getuid():
                        raise PermissionError(f"{parent} is another user's")
                    with locked(parent / ".lock"):  # until the new folder has its owner
                        _remove_abandoned(parent)
                        made = opening.enter_context(
                            tempfile.TemporaryDirectory(prefix="service-", dir=parent)
                        )
                        owner = opening.enter_context((Path(made) / _OWNER).open("ab"))
                        fcntl.flock(owner, fcntl.LOCK_EX)
                    state = StateFolder(Path(made), n_processes, n_columns)
                    state.claim()
                except OSError as error:
                    problems.append(f"{parent}: {error.strerror or error}")
                    continue
                kept.push(opening.pop_all())
                break
        else:
            raise ServingError("no room for the service's counters: " + "; ".join(problems))
        yield state


@contextlib.contextmanager
def monitor_socket(folder: Path) -> Iterator[Path]:
    """Give a path for the monitor's socket: in the folder, or in TMPDIR where that path is too long."""
    absolute = folder.absolute() / "monitor"
    for path in (absolute, Path(os.path.relpath(absolute))):
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            yield path
            return
    with tempfile.TemporaryDirectory(prefix="tabloop-") as short:
        path = Path(short) / "monitor"
        if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            raise ServingError(f"{short}: too long a path for a local socket; set TMPDIR to a shorter folder")
        yield path


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders whose owner is gone; the kernel lets its lock go."""
    for folder in parent.glob("service-*"):
        with contextlib.suppress(OSError):
            with (folder / _OWNER).open("ab") as owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
