"""The manifests of Kubernetes are what its schemas, KubeRay's names and Ray itself take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sagemaker_inference.ray._deployment import DEFAULTS

# Warnings of Ray are about Ray.
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "examples" / "kubernetes"
VERSION = "1.32"


def documents(name: str) -> list[dict[str, Any]]:
    import yaml

    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def check(document: dict[str, Any]) -> None:
    import kubernetes_validate

    kubernetes_validate.validate(document, VERSION, strict=True)


def pod(template: dict[str, Any]) -> dict[str, Any]:
    """A template as a whole resource, which the schemas know."""
    metadata = {"name": "pod", **template.get("metadata", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_plain_manifest_is_valid(index: int) -> None:
    check(documents("deployment.yaml")[index])


def test_the_validator_finds_a_mistake() -> None:
    import kubernetes_validate

    document = documents("deployment.yaml")[0]
    document["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        check(document)


def test_probes_and_scrapes_ask_what_the_server_answers() -> None:
    template = documents("deployment.yaml")[0]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/ping", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]
    annotations = template["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == "/metrics"
    assert annotations["prometheus.io/port"] == "8080"


def test_the_pods_of_kuberay_are_valid() -> None:
    (service,) = documents("rayservice.yaml")
    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    cluster = service["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    assert len(groups) == 2
    for group in groups:
        check(pod(group["template"]))


def test_the_application_of_kuberay_is_valid_and_has_our_defaults() -> None:
    import yaml
    from ray.serve.schema import ServeDeploySchema

    (service,) = documents("rayservice.yaml")
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(config)
    (deployment,) = config["applications"][0]["deployments"]
    assert {name: deployment[name] for name in DEFAULTS} == dict(DEFAULTS)
