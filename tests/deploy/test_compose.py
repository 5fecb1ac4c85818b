"""What docker-compose.yml promises, read from the file. That it is valid, `.ci/run` asks docker-compose itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from thumbq import settings

ROOT = Path(__file__).parents[2]
both_replicas = pytest.mark.parametrize("name", ["thumbq", "thumbq-durable"])


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return compose


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    services: dict[str, Any] = compose["services"]
    return services


def test_setup_runs_once_before_any_replica_and_after_the_emulator_is_healthy(services: dict[str, Any]) -> None:
    assert services["setup"]["command"] == ["setup"]
    assert services["setup"]["restart"] == "no"
    assert services["setup"]["depends_on"]["emulator"] == {"condition": "service_healthy"}
    assert services["thumbq"]["depends_on"]["setup"] == {"condition": "service_completed_successfully"}


def test_setup_and_the_replicas_are_one_image_that_is_only_ever_built_here(services: dict[str, Any]) -> None:
    assert services["setup"]["image"] == services["thumbq"]["image"]
    assert [services[name]["pull_policy"] for name in ("setup", "thumbq")] == ["never", "build"]
    assert (ROOT / services["thumbq"]["build"]["dockerfile"]).is_file()


@both_replicas
def test_the_replicas_environment_is_valid_settings_and_leaves_time_for_their_shutdown(
    services: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable, value in services[name]["environment"].items():
        monkeypatch.setenv(variable, value)
    in_force = settings.load(serving=True, host="0.0.0.0")
    assert in_force.access == "open", "its port is published on loopback only"
    assert set(in_force.allowed_hosts) == {"127.0.0.1", "localhost", name}
    assert in_force.bucket
    assert in_force.queue
    grace_s = int(services[name]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= in_force.shutdown_deadline_s + 5


@both_replicas
def test_the_replicas_ports_are_a_range_on_loopback_wide_enough_to_scale(services: dict[str, Any], name: str) -> None:
    (port,) = services[name]["ports"]
    host, published, target = port.split(":")
    first, last = map(int, published.split("-"))
    assert host == "127.0.0.1"
    assert int(target) == settings.Settings.model_fields["port"].default
    assert last - first >= 2


def test_only_dummy_credentials_go_to_an_emulator_of_this_file(services: dict[str, Any]) -> None:
    for name in ("setup", "thumbq"):
        environment = services[name]["environment"]
        assert environment["AWS_ENDPOINT_URL"] == "http://emulator:5000"
        assert environment["AWS_ACCESS_KEY_ID"] == environment["AWS_SECRET_ACCESS_KEY"] == "test"


def test_nothing_is_taken_from_the_callers_environment() -> None:
    assert not re.search(r"\$\{?\w", (ROOT / "docker-compose.yml").read_text())


def test_the_emulator_is_the_one_that_the_tests_run_on(services: dict[str, Any]) -> None:
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    (moto,) = (package["version"] for package in locked if package["name"] == "moto")
    assert services["emulator"]["image"] == f"motoserver/moto:{moto}"


@pytest.mark.parametrize("name", ["setup", "thumbq", "thumbq-durable"])
def test_thumbq_runs_without_privileges_on_a_read_only_file_system(services: dict[str, Any], name: str) -> None:
    assert services[name]["read_only"] is True
    assert services[name]["tmpfs"] == ["/tmp"]
    assert services[name]["cap_drop"] == ["ALL"]
    assert services[name]["security_opt"] == ["no-new-privileges:true"]


def test_only_what_has_the_profile_is_durable_and_it_needs_nothing_else(services: dict[str, Any]) -> None:
    durable = {name for name, service in services.items() if service.get("profiles") == ["durable"]}
    assert durable == {"s3", "sqs", "thumbq-durable"}
    assert set(services["thumbq-durable"]["depends_on"]) <= durable
    assert not any(service.get("profiles") for name, service in services.items() if name not in durable)


def test_the_durable_servers_keep_their_data_in_volumes_and_start_before_thumbq(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("s3", "sqs"):
        volume, path = services[name]["volumes"][0].split(":")
        assert volume in compose["volumes"]
        assert path == "/data"
        assert services[name]["healthcheck"]["test"][0] == "CMD"
        assert services["thumbq-durable"]["depends_on"][name] == {"condition": "service_healthy"}
    assert "jdbc:h2:/data/" in compose["configs"]["sqs"]["content"]


def test_the_durable_servers_make_the_bucket_and_the_queues_that_thumbq_is_told(compose: dict[str, Any]) -> None:
    told = compose["services"]["thumbq-durable"]["environment"]
    s3, queues = compose["services"]["s3"], compose["configs"]["sqs"]["content"]
    assert f"-bucket={told['THUMBQ_BUCKET']}" in s3["command"]
    assert told["AWS_SECRET_ACCESS_KEY"] == s3["environment"]["AWS_SECRET_ACCESS_KEY"]
    assert re.search(rf"^ +{told['THUMBQ_QUEUE']} {{$", queues, flags=re.MULTILINE)
    assert f"deadLettersQueue {{ name = {told['THUMBQ_QUEUE']}-dlq, maxReceiveCount = 10 }}" in queues


def test_every_image_of_another_maker_is_pinned_to_a_version(services: dict[str, Any]) -> None:
    foreign = [service["image"] for service in services.values() if service["image"] != "thumbq:local"]
    assert len(foreign) == 3
    assert all(re.fullmatch(r"[\w./-]+:\d+\.\d+(\.\d+)?", image) for image in foreign)
