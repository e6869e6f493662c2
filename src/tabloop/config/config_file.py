"""Whether there is a config file at all: asked first, since everything else takes longer to import."""

from __future__ import annotations

from pathlib import Path

from tabloop.errors import ConfigError


def require_config_file(path: Path) -> None:
    """Raise `ConfigError` where there is no such file."""
    if not path.exists():
        raise ConfigError(
            f"{path}: no such file; `tabloop init FILE --target COL` writes one, --config PATH names another"
        )
