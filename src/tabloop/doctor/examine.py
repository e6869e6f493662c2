"""Look at everything, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tabloop.config.loading import load_project
from tabloop.config.serving import ServingConfig
from tabloop.doctor.cluster import examine_cluster
from tabloop.doctor.finding import Finding
from tabloop.doctor.installation import examine_installation
from tabloop.doctor.machine import examine_machine
from tabloop.doctor.project import examine_port, examine_project
from tabloop.errors import TabloopError


def examine(config: Path, overrides: Sequence[str], environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at the installation, the machine and, where there is a config, the project.

    Parameters
    ----------
    config : pathlib.Path
        The settings' file; one that is not there is no fault.
    overrides : sequence of str
        As `--set` has them.
    environ : mapping
        The environment.

    Yields
    ------
    finding : Finding
        One for each thing that was looked at.
    """
    yield from examine_installation()
    project = None
    if not config.exists():
        mend = "tabloop init FILE --target COL writes one, tabloop init --demo a folder to play with"
        yield Finding("config", "note", f"{config}: no such file", mend)
    else:
        try:
            project = load_project(config, overrides=overrides, environ=environ)
            yield Finding("config", "ok", f"{config}: {len(project.contract.columns)} columns")
        except TabloopError as error:
            yield Finding(
                "config", "blocks", str(error), "correct what is named; tabloop config schema says more"
            )
    serving = project.config.serving if project else ServingConfig.model_validate({})
    folder = (project.model_dir if project else config.parent).absolute()
    while not folder.is_dir():
        folder = folder.parent
    yield from examine_machine(folder, serving.max_connections)
    if project is not None:
        yield from examine_project(project, environ)
    yield from examine_cluster(project)
    yield examine_port()
