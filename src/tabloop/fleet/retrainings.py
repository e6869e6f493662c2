"""What was retrained anywhere in the fleet: the next retraining, on whichever machine, goes by it."""

from __future__ import annotations

import json

from tabloop.artifacts.files import append_line, json_bytes
from tabloop.artifacts.layout import DECISIONS
from tabloop.artifacts.store import RunStore
from tabloop.fleet.remote import RETRAININGS
from tabloop.storage.object_store import ObjectStore


class SharedRetrainings:
    """Copies decisions about challengers to the remote and from there.

    A scheduled retraining often begins in an empty folder. What was refused yesterday would be trained again
    today, whatever `retraining.cooldown_hours` says, if only that folder knew.

    Parameters
    ----------
    remote : ObjectStore
        The object storage that holds them.
    pointer : str
        The pointer whose run a challenger would replace.
    store : RunStore
        The folder of the fleet, whose `decisions.jsonl` takes them.
    """

    def __init__(self, remote: ObjectStore, pointer: str, store: RunStore) -> None:
        self._remote = remote
        self._below = f"{RETRAININGS}/{pointer}"
        self._store = store

    def share(self) -> None:
        """Write down on the remote what was retrained here; each decision once."""
        for key, decision in self._here().items():
            self._remote.put_new(key, json_bytes(decision))

    def gather(self) -> None:
        """Take in what was retrained elsewhere since."""
        here = self._here()
        for key in sorted(self._remote.keys(f"{self._below}/")):  # in the order of time
            if key not in here and (found := self._remote.read(key)) is not None:
                append_line(self._store.model_dir / DECISIONS, json.loads(found.content))

    def _here(self) -> dict[str, object]:
        return {
            f"{self._below}/{decision['time'].replace(':', '')}-{decision['run_id']}.json": decision
            for decision in self._store.decisions()
            if "retraining" in decision
        }
