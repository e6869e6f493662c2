"""A run as MLflow loads it: the champion's own way from a frame to decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tabloop.api.model import Model, load
from tabloop.artifacts.layout import MANIFEST


class MlflowModel:
    """What MLflow calls: `predict` gives probability and decision, as `Model.decide` does.

    Parameters
    ----------
    model : Model
        The run's.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(self, frame: Any, params: dict[str, Any] | None = None) -> Any:
        """Decide on each row of a frame; `params` are not looked at."""
        return self._model.decide(frame)


def _load_pyfunc(path: str) -> MlflowModel:
    """Load what `tabloop.publishing.mlflow.save_model` wrote; the name is MLflow's."""
    folder = Path(path)
    if not (folder / MANIFEST).is_file():  # the path is a folder above that of the run
        folder = next(below.parent for below in folder.rglob(MANIFEST))
    return MlflowModel(load(folder))
