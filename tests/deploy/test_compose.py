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


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
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


def test_the_replicas_environment_is_valid_settings_and_leaves_time_for_their_shutdown(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in services["thumbq"]["environment"].items():
        monkeypatch.setenv(name, value)
    in_force = settings.load()
    assert in_force.bucket
    assert in_force.queue
    grace_s = int(services["thumbq"]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= in_force.shutdown_deadline_s + 5


def test_the_replicas_ports_are_a_range_on_loopback_wide_enough_to_scale(services: dict[str, Any]) -> None:
    (port,) = services["thumbq"]["ports"]
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


@pytest.mark.parametrize("name", ["setup", "thumbq"])
def test_thumbq_runs_without_privileges_on_a_read_only_file_system(services: dict[str, Any], name: str) -> None:
    assert services[name]["read_only"] is True
    assert services[name]["tmpfs"] == ["/tmp"]
    assert services[name]["cap_drop"] == ["ALL"]
    assert services[name]["security_opt"] == ["no-new-privileges:true"]
