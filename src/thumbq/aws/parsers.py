"""botocore's parsers of answers, but none takes what is no answer of S3 or SQS for one.

By themselves they read a page of HTML with status 200 as an answer in which everything is missing: an empty listing, a
queue without messages. Over some bodies they fall with an error of Python's.
"""

from __future__ import annotations

import json
from typing import Any, Final

from aiobotocore.parsers import AioResponseParserFactory
from botocore.parsers import ResponseParserError

_ERROR_STATUS: Final = 300
_SHOWN: Final = 80


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
            parsed = await self._parser.parse(response, shape)
        except ResponseParserError:
            raise
        except Exception as error:
            raise ResponseParserError(f"the answer cannot be read: {error!r}") from error
        if isinstance(parsed, dict) and "Error" in parsed:
            parsed["Error"] = {name: str(value) for name, value in parsed["Error"].items()}
        return parsed

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
