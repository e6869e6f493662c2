"""Write down what a run was made of, so that it can be checked and made again."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING

import tabloop
from tabloop.artifacts.documents.lineage import (
    Code,
    Ingredient,
    Lineage,
    Machine,
    RowCounts,
)
from tabloop.artifacts.layout import CONFIG, CONTRACT, PIPELINE, THRESHOLD
from tabloop.artifacts.run import RunFolder
from tabloop.config.loading import Project
from tabloop.config.training import Candidate
from tabloop.data.dataset import Dataset
from tabloop.data.split import Split
from tabloop.lifecycle.metrics import predictions_sha256

if TYPE_CHECKING:
    from tabloop.training.train import TrainingResult

#: Libraries that decide the numbers.
_LIBRARIES = ("joblib", "numpy", "polars", "scikit-learn", "scipy", "threadpoolctl")


def code_sha256() -> str:
    """Hash every source file of the installed package, names and contents, in order."""
    root = Path(tabloop.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def library_versions(candidates: Mapping[str, Candidate]) -> dict[str, str]:
    """Look up the versions of Python and of the libraries that decide the numbers.

    Parameters
    ----------
    candidates : mapping of str to Candidate
        The classifiers that compete: those of other libraries bring these in.
    """
    # only here: a command that trains nothing does not wait for scikit-learn
    from tabloop.training.candidates import libraries_of

    libraries = libraries_of(candidates.values())
    # the records of every installed file are read for it
    distributions = packages_distributions() if libraries else {}
    further = {name: version(name) for library in libraries for name in distributions.get(library, ())}
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES} | further


def describe_lineage(
    run: RunFolder, project: Project, dataset: Dataset, parts: Split, result: TrainingResult
) -> Lineage:
    """Describe where a run comes from, as `lineage.json` holds it."""

    def of_run(name: str, source: Path | None = None) -> Ingredient:
        return Ingredient(
            path=_relative(run.path / name, project.folder),
            sha256=run.files[name].sha256,
            source_path=None if source is None else _relative(source, project.folder),
        )

    return Lineage(
        run_id=run.run_id,
        seed=project.config.seed,
        rows=RowCounts(
            read=dataset.rows_read,
            quarantined=dataset.quarantine.rows,
            training=parts.train.height,
            test=parts.test.height,
        ),
        split=parts.setting,
        predictions_sha256=predictions_sha256(result),
        dataset=_describe_dataset(dataset, project.folder),
        config=of_run(CONFIG, project.config_path),
        contract=of_run(CONTRACT),
        model=of_run(PIPELINE),
        threshold=of_run(THRESHOLD),
        code=Code(package="tabloop", version=tabloop.__version__, sha256=code_sha256()),
        libraries=library_versions(project.config.training.candidates),
        platform=Machine(system=platform.system(), machine=platform.machine()),
    )


def _describe_dataset(dataset: Dataset, folder: Path) -> Ingredient:
    identity = dict(dataset.identity)
    if "path" in identity:
        identity["path"] = _relative(Path(identity["path"]), folder)
    return Ingredient(**identity, sha256=dataset.sha256, notes=tuple(dataset.notes))


def _relative(path: Path, folder: Path) -> str:
    """Write a path as seen from the config's folder, where it lies below it."""
    path, folder = path.absolute(), folder.absolute()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
