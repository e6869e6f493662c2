"""The line of champions, as the decisions tell it."""

from __future__ import annotations

from tabloop.artifacts.store import RunStore


def line_of_champions(store: RunStore) -> list[str]:
    """Name the champions in the order in which each replaced another; who went back drops who came after."""
    line: list[str] = []
    for decision in store.decisions():
        run_id = decision["run_id"]
        if decision["decision"] == "promoted" and (not line or line[-1] != run_id):
            line.append(run_id)
        elif decision["decision"] == "rolled_back":
            line = line[: len(line) - line[::-1].index(run_id)] if run_id in line else [*line, run_id]
    return line
