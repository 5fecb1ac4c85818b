"""What deploy/kubernetes promises, read from its files. That they are valid, `.ci/run` asks the schemas."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from support import documents
from support.documents import KUBERNETES
from support.schemas.keda_schema import KINDS, closed
from thumbq import settings
from thumbq.memory import needed_bytes

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"

# KEDA's documentation, "AWS SQS Queue"; its resource definition takes any name here.
TRIGGER_PARAMETERS = {
    *("queueURL", "queueURLFromEnv", "queueLength", "activationQueueLength"),
    *("awsRegion", "awsEndpoint", "scaleOnInFlight", "scaleOnDelayed"),
}


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


def environment() -> dict[str, str]:
    lines = (FOLDER / "settings.env").read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


@pytest.fixture
def in_force(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> settings.Settings:
    monkeypatch.chdir(tmp_path)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    [token] = read("deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
    monkeypatch.setenv(token["name"], f"website:upload:{hashlib.sha256(b'token').hexdigest()}")
    return settings.load(serving=True, host="0.0.0.0")


@pytest.fixture
def pod() -> Any:
    return read("deployment")["spec"]["template"]["spec"]


def test_every_file_of_the_folder_is_a_part_of_the_kustomization() -> None:
    kustomization = read("kustomization")
    named = [*kustomization["resources"], *kustomization["configMapGenerator"][0]["envs"], "kustomization.yaml"]
    assert sorted([*named, "README.md"]) == sorted(path.name for path in FOLDER.iterdir())


def test_the_budget_for_disruptions_is_that_of_the_pods() -> None:
    # kustomize gives labels to the pods, and selectors to what cannot be without: a budget can, and has no pods then.
    [labels] = read("kustomization")["labels"]
    assert labels["includeSelectors"]
    assert read("poddisruptionbudget")["spec"]["selector"] == {"matchLabels": labels["pairs"]}


def test_every_resource_is_of_a_kind_that_ci_has_a_schema_for() -> None:
    documents = [read(name.removesuffix(".yaml")) for name in read("kustomization")["resources"]]
    of_keda = {document["kind"] for document in documents if document["apiVersion"] == "keda.sh/v1alpha1"}
    assert of_keda == set(KINDS)
    # A kind that is not known gets a warning only.
    others = {(document["apiVersion"], document["kind"]) for document in documents if document["kind"] not in KINDS}
    known = {("v1", "Namespace"), ("v1", "Service"), ("v1", "ServiceAccount"), ("apps/v1", "Deployment")}
    assert others == known | {("policy/v1", "PodDisruptionBudget")}


def test_pods_ask_for_the_tokens_of_a_secret_that_is_not_in_the_repository(
    in_force: settings.Settings, pod: Any
) -> None:
    assert in_force.asks_for_tokens
    [token] = pod["containers"][0]["env"]
    secret = token["valueFrom"]["secretKeyRef"]
    assert not secret.get("optional")
    assert "Secret" not in {read(name.removesuffix(".yaml"))["kind"] for name in read("kustomization")["resources"]}
    command = documents.example(KUBERNETES, "Configuration", "text")
    assert f"create secret generic {secret['name']} " in command
    assert f"--from-file={secret['key']}=" in command
    assert f"--namespace {read('kustomization')['namespace']} " in command


def test_a_pod_has_time_for_its_prestop_and_thumbqs_own_shutdown(in_force: settings.Settings, pod: Any) -> None:
    [container] = pod["containers"]
    prestop_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= prestop_s + in_force.shutdown_deadline_s + 5


def test_readiness_and_liveness_ask_for_what_they_mean(pod: Any) -> None:
    [container] = pod["containers"]
    paths = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/livez", "readiness": "/readyz", "liveness": "/livez"}
    [port] = container["ports"]
    assert port["containerPort"] == settings.Settings.model_fields["port"].default


def test_a_pod_has_no_rights_on_its_node_and_no_links_to_services(pod: Any) -> None:
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    assert pod["enableServiceLinks"] is False


def test_the_memory_limit_holds_what_a_replica_may_need(in_force: settings.Settings, pod: Any) -> None:
    [container] = pod["containers"]
    limit = int(container["resources"]["limits"]["memory"].removesuffix("Gi")) << 30
    assert limit >= needed_bytes(in_force)


def test_scaling_counts_what_is_in_flight_on_the_queue_that_the_pods_work_on() -> None:
    spec = read("scaledobject")["spec"]
    [trigger] = spec["triggers"]
    assert trigger["metadata"].keys() <= TRIGGER_PARAMETERS
    assert trigger["metadata"]["scaleOnInFlight"] == "true"
    assert trigger["metadata"]["queueURL"] == environment()["THUMBQ_QUEUE"]
    assert trigger["metadata"]["awsRegion"] == environment()["AWS_DEFAULT_REGION"]
    assert trigger["authenticationRef"]["name"] == read("triggerauthentication")["metadata"]["name"]
    assert spec["scaleTargetRef"]["name"] == read("deployment")["metadata"]["name"]
    assert "replicas" not in read("deployment")["spec"]
    assert spec["minReplicaCount"] > read("poddisruptionbudget")["spec"]["maxUnavailable"]


def test_a_schema_that_was_closed_refuses_unknown_members_and_null() -> None:
    open_schema = {
        "type": "object",
        "properties": {
            "spec": {"$ref": "#/$defs/Spec"},
            "free": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "$defs": {
            "Spec": {"type": "object", "properties": {"number": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}}
        },
    }
    validator = Draft202012Validator(closed(open_schema))
    assert validator.is_valid({"spec": {"number": 1}, "free": {"any": "thing"}})
    assert not validator.is_valid({"spec": {"numbr": 1}})
    assert not validator.is_valid({"spec": {"number": None}})
    assert not validator.is_valid({"specs": {}})
