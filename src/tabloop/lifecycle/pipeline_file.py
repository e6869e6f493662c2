"""Write fitted pipelines into a run, and load them."""

from __future__ import annotations

import pickle
from typing import Any

from tabloop.artifacts.run import RunFolder


def write_pipeline(run: RunFolder, name: str, pipeline: Any) -> None:
    """Write a fitted pipeline into a run, for joblib to load.

    joblib loads a plain pickle as well, and a forest is pickled in a third of the time.
    """
    with run.open_new(name) as file:
        pickle.dump(pipeline, file, protocol=pickle.HIGHEST_PROTOCOL)


def load_pipeline(run: RunFolder, name: str) -> Any:
    """Load a fitted pipeline of a run, after checking its hash: a pickle can do anything."""
    import joblib

    return joblib.load(run.checked_path(name))
