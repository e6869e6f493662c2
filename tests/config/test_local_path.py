from __future__ import annotations

import pytest
from tests.conftest import Workspace

SETTINGS = {
    "artifacts.model_dir": "s3://bucket/artifacts",
    "data.source.path": "gs://bucket/x.csv",
    "serving.api_keys_file": "https://example.org/keys",
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_that_is_a_path_takes_no_url(workspace: Workspace, setting: str) -> None:
    url = SETTINGS[setting]
    result = workspace.run("runs", "--set", f"{setting}={url}")
    assert result.code == 2
    assert f"{setting}: got the URL {url}, expected a path of this machine" in result.err
    assert not (workspace.folder / url.partition("/")[0]).exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "check", "s3://b/x.parquet"),
        ("data", "load", "s3://b/x.csv", "--to", "sqlite:///a.db", "--table", "t", "--key", "id"),
        ("data", "synthesize", "--rows", "5", "--output", "s3://b/x.csv"),
        ("init", "s3://b/x.csv", "--target", "y"),
        ("feedback", "import", "s3://b/x.csv"),
        ("drift", "--log", "s3://b/log"),
        ("log", "verify", "s3://b/log"),
    ],
)
def test_a_command_that_takes_a_path_takes_no_url(workspace: Workspace, arguments: tuple[str, ...]) -> None:
    result = workspace.run(*arguments)
    assert result.code == 2
    assert "got the URL s3://b/" in result.err
    assert not (workspace.folder / "s3:").exists()
