"""`import tabloop` is the map, and light."""

from __future__ import annotations

import inspect
import subprocess
import sys

import tabloop as tl


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_the_import_loads_no_library_until_it_is_used() -> None:
    loaded = loaded_by("import tabloop; dir(tabloop); tabloop.__version__")
    assert not loaded & {"polars", "sklearn", "onnxruntime", "pydantic", "numpy", "msgspec", "click", "yaml"}
    assert {name for name in loaded if name.startswith("tabloop")} == {"tabloop"}


def test_every_name_is_there_says_what_it_is_and_is_listed() -> None:
    assert tl.__doc__ is not None
    for name in tl.__all__:
        assert inspect.getdoc(getattr(tl, name)), name
        assert name in dir(tl)
        assert name[0].isupper() or f"{name}(" in tl.__doc__
    assert not hasattr(tl, "nothing_of_this_name")


def test_no_part_of_the_package_takes_the_place_of_a_function() -> None:
    loaded_by(
        "import importlib, pkgutil, tabloop as tl\n"
        "for module in pkgutil.iter_modules(tl.__path__): importlib.import_module('tabloop.' + module.name) "
        "if module.name != '__main__' else None\n"
        "assert all(callable(getattr(tl, name)) for name in tl.__all__)"
    )
