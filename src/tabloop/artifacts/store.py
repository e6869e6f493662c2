"""The artifact folder: its runs, the champion among them, and every decision about it."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tabloop.artifacts.files import append_line, locked, sha256_of_file, swap_link, sync_folder, utc_now
from tabloop.artifacts.layout import (
    CHAMPION,
    DECISIONS,
    FAMILIAR_FILES,
    MANIFEST,
    RELEASE_LOCK,
    REPORTS,
    RUNS,
)
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.temporary import remove_abandoned
from tabloop.errors import ArtifactError, ArtifactMissingError, HashMismatchError


class RunStore:
    """Runs below one artifact folder.

    Parameters
    ----------
    model_dir : pathlib.Path
        The artifact folder; made when something is written.
    """

    def __init__(self, model_dir: Path) -> None:
        self.model_dir = model_dir
        self.runs_dir = model_dir / RUNS
        self._live_since: str | None = None

    def create(self) -> RunFolder:
        """Open a new run under a name that sorts by time and collides with nobody's."""
        try:
            self.runs_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(
                f"{self.runs_dir}: cannot be made ({error.strerror}); artifacts.model_dir names its folder"
            ) from error
        while True:
            moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            with contextlib.suppress(FileExistsError):
                return RunFolder.create(self.runs_dir / f"{moment}-{secrets.token_hex(2)}")

    def runs(self) -> list[RunFolder]:
        """Every run whose manifest can be read, the oldest first; see `broken_runs`."""
        return self._found()[0]

    def broken_runs(self) -> list[str]:
        """Say of each run whose manifest cannot be read what is wrong with it."""
        return self._found()[1]

    def _found(self) -> tuple[list[RunFolder], list[str]]:
        runs, problems = [], []
        remove_abandoned(self.model_dir)
        remove_abandoned(self.model_dir / REPORTS, deep=True)
        for path in sorted(self.runs_dir.iterdir()) if self.runs_dir.is_dir() else ():
            if path.name.startswith(".") or not path.is_dir():
                continue
            try:
                runs.append(RunFolder(path))
                if runs[-1].state == "open":
                    remove_abandoned(path, deep=True)
            except ArtifactError as error:
                problems.append(str(error))
        return runs, problems

    def get(self, run_id: str) -> RunFolder:
        """Find a run by its name or by an unambiguous beginning or end of it.

        Raises
        ------
        ArtifactMissingError
            If no run, or more than one, has such a name.
        """
        names = [run.run_id for run in self.runs()]
        matches = [n for n in names if n == run_id] or [
            n for n in names if n.startswith(run_id) or n.endswith(run_id)
        ]
        if not run_id or len(matches) != 1:
            found = f"{len(matches)} runs match" if matches and run_id else "no such run"
            raise ArtifactMissingError(f"run {run_id!r}: {found}; `tabloop runs` lists them")
        return RunFolder(self.runs_dir / matches[0])

    def get_or_champion(self, run_id: str | None) -> RunFolder:
        """Find a run as `get` does, or the champion where none is named."""
        return self.get(run_id) if run_id else self.require_champion()

    def newest_open(self) -> RunFolder:
        """Find the newest open run whose training finished.

        Raises
        ------
        ArtifactMissingError
            If no such run is open.
        """
        for run in reversed(self.runs()):
            if run.state == "open" and run.is_trained:
                return run
        raise ArtifactMissingError(f"{self.model_dir}: no open run; `tabloop train` opens one")

    def newest_open_or_champion(self) -> RunFolder:
        """Find the run that a stage is about when nobody names one.

        Raises
        ------
        ArtifactMissingError
            If no trained run is open and there is no champion.
        """
        try:
            return self.newest_open()
        except ArtifactMissingError:
            return self.require_champion()

    def champion(self) -> RunFolder | None:
        """Find the run that is live, if one was ever released.

        Raises
        ------
        ArtifactError
            If the pointer leads nowhere, or to a run that no release let out.
        """
        link = self.model_dir / CHAMPION
        if not link.is_symlink():
            return None
        run = RunFolder(self.runs_dir / link.readlink().name)
        if run.state != "passed":
            raise ArtifactError(f"{link}: leads to run {run.run_id}, which no release let out ({run.state})")
        if problems := self.manifest_problems(run):
            raise HashMismatchError(f"{link}: {'; '.join(problems)}; restore it, or `tabloop rollback RUN`")
        return run

    def manifest_problems(self, run: RunFolder) -> list[str]:
        """Compare a run's manifest with the hash that each decision about the run noted.

        Returns
        -------
        problems : list of str
            One line for each other hash that was noted; empty when all agree, or nothing was decided yet.
        """
        path = self.model_dir / DECISIONS
        if not path.exists():
            return []
        name = run.run_id.encode()
        found = sha256_of_file(run.path / MANIFEST)
        noted = {
            str(decision.get("manifest_sha256"))
            for decision in _parse_decisions(line for line in path.read_bytes().splitlines() if name in line)
            if decision["run_id"] == run.run_id
        }
        return [
            f"{run.path / MANIFEST}: got sha256 {found}, {DECISIONS} recorded {other}"
            for other in sorted(noted - {found})
        ]

    def require_as_written(self, run: RunFolder) -> None:
        """Raise `HashMismatchError` when a file of a run, or its manifest, is not the recorded one."""
        if problems := [*run.check_hashes(), *self.manifest_problems(run)]:
            listed = "\n  ".join(problems)
            raise HashMismatchError(f"run {run.run_id}: not what was recorded\n  {listed}")

    def champion_name(self) -> str | None:
        """Name the run that the pointer leads to, whether or not it can be read."""
        link = self.model_dir / CHAMPION
        return link.readlink().name if link.is_symlink() else None

    def require_champion(self) -> RunFolder:
        """Find the run that is live; raise `ArtifactMissingError` if there is none yet."""
        run = self.champion()
        if run is None:
            raise ArtifactMissingError(
                f"{self.model_dir}: no champion yet; `tabloop run` trains and releases one"
            )
        return run

    @contextlib.contextmanager
    def deciding(self) -> Iterator[None]:
        """Hold the lock under which the champion changes."""
        with locked(self.model_dir / RELEASE_LOCK):
            yield

    def promote(self, run: RunFolder) -> None:
        """Make a run that passed the champion, in one atomic swap.

        Raises
        ------
        ArtifactError
            If the run is open or was refused.
        """
        if run.state != "passed":
            raise ArtifactError(f"run {run.run_id}: {run.state}; only a run that passed its gates goes live")
        # before the swap: whatever the run answers is at or after this moment
        self._live_since = utc_now()
        swap_link(self.model_dir / CHAMPION, f"{RUNS}/{run.run_id}")
        for name in FAMILIAR_FILES:
            link = self.model_dir / name
            if run.has(name) and not link.is_symlink():
                swap_link(link, f"{CHAMPION}/{name}")
            elif not run.has(name) and link.is_symlink():
                link.unlink()  # it would lead nowhere

    def remove(self, run: RunFolder) -> None:
        """Remove a sealed run that is not the champion.

        It goes out of sight at once and whole; a process that dies meanwhile leaves a hidden folder.
        """
        if run.state == "open" or run.run_id == self.champion_name():
            raise ArtifactError(f"run {run.run_id}: is open or the champion; it stays")
        hidden = run.path.with_name(f".{run.run_id}.removed")
        run.path.rename(hidden)
        sync_folder(self.runs_dir)
        for left in (hidden, *self.runs_dir.glob(".*.removed")):
            shutil.rmtree(left, ignore_errors=True)
        run.path.with_name(f".{run.run_id}.lock").unlink(missing_ok=True)

    def note_decision(self, decision: str, run: RunFolder, **evidence: Any) -> None:
        """Append to `decisions.jsonl` what was decided about a run and why."""
        record = {
            "time": utc_now(),
            "decision": decision,
            **({"live_since": self._live_since} if self._live_since else {}),
            "run_id": run.run_id,
            "manifest_sha256": sha256_of_file(run.path / MANIFEST),
            **evidence,
        }
        self._live_since = None
        append_line(self.model_dir / DECISIONS, record)

    def note_unrecorded_champion(self) -> None:
        """Write down the promotion of a process that died between the swap and its note."""
        with contextlib.suppress(ArtifactError):
            champion = self.champion()
            line = [d["run_id"] for d in self.decisions() if d["decision"] in ("promoted", "rolled_back")]
            if champion is not None and (not line or line[-1] != champion.run_id):
                self.note_decision("promoted", champion, noted_later=True)

    def decisions(self) -> list[dict[str, Any]]:
        """Every decision, the oldest first; a line that a crash cut short is left out."""
        path = self.model_dir / DECISIONS
        if not path.exists():
            return []
        return list(_parse_decisions(path.read_bytes().splitlines()))

    def decisions_state(self) -> tuple[int, int]:
        """Give what changes when a decision is noted, without reading them."""
        try:
            found = (self.model_dir / DECISIONS).stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_size, found.st_mtime_ns


def _parse_decisions(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with contextlib.suppress(json.JSONDecodeError, UnicodeDecodeError):
            record = json.loads(line)
            if isinstance(record, dict) and {"time", "decision", "run_id"} <= record.keys():
                yield record
