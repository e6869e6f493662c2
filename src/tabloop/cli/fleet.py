"""What commands with `--fleet` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabloop.extras import require_extra

if TYPE_CHECKING:
    from tabloop.config.loading import Project
    from tabloop.fleet.fleet_folder import FleetFolder


def open_fleet(project: Project, pointer: str) -> FleetFolder:
    """Open the folder of the fleet of a project that has a remote."""
    require_extra("remote", "--fleet")
    from tabloop.fleet.fleet_folder import FleetFolder
    from tabloop.fleet.remote import open_remote

    return FleetFolder(project, open_remote(project), pointer)
