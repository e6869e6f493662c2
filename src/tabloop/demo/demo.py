"""Write the demo."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from tabloop.artifacts.files import write_atomic
from tabloop.config.json_schema import SCHEMA_FILE, schema_comment, schema_json
from tabloop.data.students import write_students
from tabloop.errors import ConfigError

DEMO_ROWS = 4000
_TABLE, _CONFIG, _README = "students.csv", "config.yaml", "README.md"


def write_demo(folder: Path, *, force: bool = False) -> list[Path]:
    """Make a folder that `tabloop run` works in.

    Parameters
    ----------
    folder : pathlib.Path
        It is made where it is not there.
    force : bool, default=False
        Replace files of the demo that are there; others are never touched.

    Returns
    -------
    written : list of pathlib.Path
        The table (synthetic students, always the same), the config, its schema and a page that says what to
        try.

    Raises
    ------
    ConfigError
        If a file of the demo is there already.
    """
    paths = [folder / name for name in (_TABLE, _CONFIG, SCHEMA_FILE, _README)]
    there = [str(path) for path in paths if path.exists()]
    if there and not force:
        raise ConfigError(f"{', '.join(there)}: there already; --force replaces, another FOLDER leaves alone")
    folder.mkdir(parents=True, exist_ok=True)
    here = files("tabloop.demo")
    table, config, schema, readme = paths
    write_students(table, DEMO_ROWS, seed=42, progress=lambda rows: None)
    write_atomic(config, (schema_comment() + here.joinpath(_CONFIG).read_text("utf-8")).encode())
    write_atomic(schema, schema_json().encode())
    write_atomic(readme, here.joinpath(_README).read_bytes())
    return paths
