from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tabloop.errors import MissingExtraError
from tabloop.extras import LIBRARIES_OF_EXTRA, missing_libraries, require_extra
from tests.conftest import ROOT

EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]
#: Libraries that come with another one of the same extra, and are imported by name.
COME_ALONG = {"adbc_driver_manager", "hiredis"}


def test_every_extra_is_known() -> None:
    assert LIBRARIES_OF_EXTRA.keys() == EXTRAS.keys()


@pytest.fixture(scope="module")
def distributions() -> Mapping[str, list[str]]:
    """The distributions that bring each installed library; to look through them all takes a second."""
    return packages_distributions()


@pytest.mark.parametrize("extra", LIBRARIES_OF_EXTRA)
def test_an_extra_brings_the_libraries_that_are_looked_for(
    extra: str, distributions: Mapping[str, list[str]]
) -> None:
    requirements = [Requirement(each) for each in EXTRAS[extra]]
    brought = {canonicalize_name(r.name) for r in requirements if r.marker is None or r.marker.evaluate()}
    looked_for = {
        library: {canonicalize_name(name) for name in distributions[library]}
        for library in LIBRARIES_OF_EXTRA[extra]
    }
    assert brought <= set().union(*looked_for.values())
    for library, names in looked_for.items():
        assert library in COME_ALONG or names & brought, library


def test_what_is_installed_is_not_missing() -> None:
    assert missing_libraries("train") == missing_libraries("serve") == []
    require_extra("train", "tabloop run")


def test_many_missing_libraries_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in LIBRARIES_OF_EXTRA["serve"]:
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError) as refused:
        require_extra("serve", "tabloop serve")
    assert str(refused.value) == (
        "tabloop serve needs fastapi, fastapi_offline, httptools and 3 more, which are not installed: "
        "pip install 'tabloop[serve]'"
    )


def test_a_name_of_the_package_says_which_extra_it_needs() -> None:
    tried = (
        "import sys; sys.modules['polars'] = None\nimport tabloop\ntry: tabloop.run\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", tried], capture_output=True, text=True, check=True)
    assert done.stdout == "tabloop.run needs polars, which is not installed: pip install 'tabloop[train]'\n"
