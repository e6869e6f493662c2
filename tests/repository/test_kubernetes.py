"""What stands in `deploy/kubernetes` is what Kubernetes takes, by its schema. Nothing is applied to a cluster here."""

from __future__ import annotations

import os
from typing import Any

import pytest
import yaml
from tests.conftest import ROOT

from tabloop.cli.main import tabloop

FOLDER = ROOT / "deploy" / "kubernetes"
MANIFESTS = sorted(
    path for path in FOLDER.glob("*.yaml") if path.name not in ("kustomization.yaml", "config.yaml")
)
#: The oldest version that is meant: a pause before SIGTERM came with it.
OLDEST, NEWEST = "1.32", "1.36"


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return loaded


def pods() -> dict[str, dict[str, Any]]:
    """What is said of the pods, by the name of who makes them."""
    found = {}
    for path in MANIFESTS:
        spec = load(path.name).get("spec", {})
        template = spec.get("template") or spec.get("jobTemplate", {}).get("spec", {}).get("template")
        if template:
            found[path.stem] = template
    return found


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_each_manifest_is_valid_by_the_schema_of_kubernetes(path: Any, version: str) -> None:
    try:
        import kubernetes_validate
    except ModuleNotFoundError:
        if os.environ.get("TABLOOP_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip("kubernetes-validate is not installed")
    kubernetes_validate.validate(load(path.name), version, strict=True)
    broken = load(path.name) | {"specc": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, version, strict=True)


def test_kustomize_names_every_manifest_and_every_image() -> None:
    said = load("kustomization.yaml")
    assert sorted(said["resources"]) == [path.name for path in MANIFESTS]
    assert {each["name"] for each in said["images"]} == {
        container["image"] for pod in pods().values() for container in pod["spec"]["containers"]
    }
    (config,) = said["configMapGenerator"]
    volumes = [
        volume for pod in pods().values() for volume in pod["spec"]["volumes"] if "configMap" in volume
    ]
    assert {volume["configMap"]["name"] for volume in volumes} == {config["name"]}
    assert len(volumes) == len(pods())


def test_no_pod_has_more_rights_than_it_needs() -> None:
    assert set(pods()) == {"deployment", "monitor", "retrain"}
    for pod in pods().values():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            assert written == {"/project/artifacts", "/tmp"}  # noqa: S108


def test_the_commands_of_the_containers_exist_with_their_options() -> None:
    for pod in pods().values():
        for container in pod["spec"]["containers"]:
            name, *rest = container["args"]
            command = tabloop.commands[name]
            given = command.make_context(name, [*rest, "--config", str(ROOT / "config.yaml")])
            assert given.params["pointer"] == "production"


def test_selectors_find_the_pods_of_the_service() -> None:
    labels = pods()["deployment"]["metadata"]["labels"]
    assert load("service.yaml")["spec"]["selector"] == labels
    assert load("disruption.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert load("deployment.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert load("network.yaml")["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert (
        load("autoscaler.yaml")["spec"]["scaleTargetRef"]["name"]
        == load("deployment.yaml")["metadata"]["name"]
    )


def test_a_pod_has_time_to_drain_and_to_ship_the_rest_of_its_log() -> None:
    from tabloop.config.loading import load_project

    spec = pods()["deployment"]["spec"]
    drain_s = load_project(ROOT / "config.yaml", environ={}).config.serving.drain_timeout_s
    pause_s = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    # workers, agent and monitor stop one after the other
    assert spec["terminationGracePeriodSeconds"] >= pause_s + 3 * drain_s
