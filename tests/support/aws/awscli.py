"""The commands of the AWS CLI that documents show, carried out by botocore's own models of the services.

The CLI names options after the members of a request. Values are texts, JSON, or shorthand (AWS CLI User Guide,
"Specify parameter values").
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from aiobotocore.session import AioSession
from botocore import xform_name

if TYPE_CHECKING:
    from botocore.model import Shape

_RENAMED = {"notification-endpoint": "endpoint"}
"""Options that have other names than their members (aws sns subscribe help)."""


async def run(command: str, *, region: str) -> Any:
    """Carry out one command and return its answer."""
    program, service, operation, *options = shlex.split(command)
    assert program == "aws", command
    async with AioSession().create_client(service, region_name=region) as client:  # type: ignore[call-overload]
        name = operation.replace("-", "_")
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[name])
        members = {xform_name(member, "-"): member for member in model.input_shape.members}
        parameters = {}
        for option, value in zip(options[::2], options[1::2], strict=True):
            member = members[_RENAMED.get(option.removeprefix("--"), option.removeprefix("--"))]
            parameters[member] = _value(value, model.input_shape.members[member])
        return await getattr(client, name)(**parameters)


def _value(text: str, shape: Shape) -> Any:
    if shape.type_name in {"list", "map", "structure"} and text[0] in "[{":
        return json.loads(text)
    if shape.type_name == "list":
        return [dict(pair.split("=", 1) for pair in text.split(","))]
    return text
