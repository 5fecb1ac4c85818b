"""Of botocore's files only a part is kept, and requests are made by it as by the whole."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import TYPE_CHECKING, Any

import pytest
from botocore.loaders import create_loader
from botocore.regions import EndpointResolver

from thumbq.aws.models import SERVICES, model_loader

if TYPE_CHECKING:
    from pathlib import Path

USUAL, OURS = create_loader(), model_loader(None)


def without_documentation(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "" if name == "documentation" and isinstance(one, str) else without_documentation(one)
            for name, one in value.items()
        }
    return [without_documentation(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("service", ["sqs", "sts"])
@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1"])
def test_a_service_is_described_as_botocore_describes_it(service: str, kind: str) -> None:
    assert OURS.load_service_model(service, kind) == without_documentation(USUAL.load_service_model(service, kind))


def test_endpoints_of_the_services_are_those_of_botocore_in_every_region() -> None:
    all_data, our_data = (loader.load_data("endpoints") for loader in (USUAL, OURS))
    usual, ours = EndpointResolver(all_data), EndpointResolver(our_data)
    regions = [region for partition in all_data["partitions"] for region in partition["regions"]]
    assert "eu-central-1" in regions
    assert "us-gov-west-1" in regions
    for prefix in SERVICES.values():
        for region in (*regions, "xx-nowhere-1"):
            assert ours.construct_endpoint(prefix, region) == usual.construct_endpoint(prefix, region)
    assert len(our_data["partitions"][0]["services"]) <= len(SERVICES)


def test_every_service_of_which_the_credentials_make_a_client_is_kept() -> None:
    sources = (
        inspect.getsource(importlib.import_module(f"{package}.{name}"))
        for package in ("botocore", "aiobotocore")
        for name in ("credentials", "utils", "tokens", "session")
    )
    made = {
        name for source in sources for name in re.findall(r"(?:create_client|_client_creator)\(\s*'([\w-]+)'", source)
    }
    assert {"sts", "sso", "signin"} <= made
    assert made <= SERVICES.keys()


def test_a_directory_of_models_is_looked_into_first(tmp_path: Path) -> None:
    folder = tmp_path / "sqs" / "2099-01-01"
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text('{"metadata": {"documentation": {"kept": "a member of that name"}}}')
    found = model_loader(f"/nowhere:{tmp_path}").load_service_model("sqs", "service-2")
    assert found == {"metadata": {"documentation": {"kept": "a member of that name"}}}
