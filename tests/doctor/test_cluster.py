from __future__ import annotations

import pytest

from tabloop.config.loading import Project
from tabloop.doctor.cluster import examine_cluster


def test_a_cluster_is_looked_at_only_where_one_is_named(
    default_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert list(examine_cluster(default_project)) == []
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    (found,) = examine_cluster(default_project)
    assert (found.subject, found.state) == ("cluster", "warning")
    assert "Ray at 127.0.0.1:9: cannot be joined" in found.found
