"""botocore's parsers of answers, but none takes what is no answer of S3 or SQS for one.

By themselves they read a page of HTML with status 200 as an answer in which everything is missing: an empty listing, a
queue without messages. Over some bodies they fall with an error of Python's. And they hand over whatever JSON holds:
a number for a text, or null for a message. What has another type than the model says counts as missing.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.parsers import AioResponseParserFactory
from botocore.parsers import ResponseParserError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ERROR_STATUS: Final = 300
_SHOWN: Final = 80
_TYPES: Final = {"string": str, "integer": int, "long": int, "boolean": bool}


class StrictParsers(AioResponseParserFactory):
    """Makes parsers that raise ResponseParserError, and nothing else."""

    def create_parser(self, protocol_name: str) -> Any:
        """Return the parser of a protocol of AWS, such as ``rest-xml``."""
        return _StrictParser(super().create_parser(protocol_name), is_json=protocol_name == "json")


class _StrictParser:
    def __init__(self, parser: Any, *, is_json: bool) -> None:
        self._parser = parser
        self._is_json = is_json

    async def parse(self, response: dict[str, Any], shape: Any) -> Any:
        """Parse an answer: status, headers, and a body that is bytes unless it is an object's."""
        body = response["body"]
        if response["status_code"] < _ERROR_STATUS and isinstance(body, bytes) and not self._can_be(body, response):
            raise ResponseParserError(f"this is no answer of an AWS service: {body[:_SHOWN]!r}")
        try:
            if not isinstance(body, bytes):
                _check_checksums(response["headers"])
            parsed = await self._parser.parse(response, shape)
        except ResponseParserError:
            raise
        except Exception as error:
            raise ResponseParserError(f"the answer cannot be read: {error!r}") from error
        if isinstance(parsed, dict) and "Error" in parsed:
            said = {name: str(value) for name, value in parsed["Error"].items()}
            # Nothing else: botocore would go on reading an error that came with the body of an answer.
            return {"Error": said, "ResponseMetadata": parsed.get("ResponseMetadata", {})}
        return _as_modelled(parsed, shape) if self._is_json and shape is not None else parsed

    def _can_be(self, body: bytes, response: dict[str, Any]) -> bool:
        if not body.strip():
            return True
        if self._is_json:
            return _is_json_object(body)
        return not response["headers"].get("content-type", "").startswith("text/html")


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _check_checksums(headers: Mapping[str, str]) -> None:
    """Raise ValueError where botocore would, later, and as an error of Python's."""
    for name, value in headers.items():
        if name.lower().startswith("x-amz-checksum-") and name.lower() != "x-amz-checksum-type":
            base64.b64decode(value.partition("-")[0])  # behind a hyphen: how many parts an upload had


def _as_modelled(value: Any, shape: Any) -> Any:
    """Return a value without all inside it that has another type than its model says; None when it has itself."""
    if value is None:
        return None
    match shape.type_name:
        case "structure":
            members = {name: _as_modelled(value[name], of) for name, of in shape.members.items() if name in value}
            if "ResponseMetadata" in value:
                members["ResponseMetadata"] = value["ResponseMetadata"]
        case "map":
            members = {name: _as_modelled(one, shape.value) for name, one in value.items()}
        case "list":
            return [one for one in (_as_modelled(one, shape.member) for one in value) if one is not None]
        case kind:
            return value if isinstance(value, _TYPES.get(kind, object)) else None
    return {name: one for name, one in members.items() if one is not None}
