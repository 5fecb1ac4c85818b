"""Reading a request whose body is a small JSON object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from thumbq.core.jsonmembers import RepeatedMember, once_each
from thumbq.errors import UploadRefused
from thumbq.web.bodies import invite, read_whole, running

if TYPE_CHECKING:
    from aiohttp import web

MAX_BODY_BYTES: Final = 16 << 10
_BROKEN: Final = "The body ends early or is damaged."

M = TypeVar("M", bound=BaseModel)


async def read_json(request: web.Request, model: type[M], *, example: str) -> M:
    """Return the object that a request sends; ``example`` is one, for those who send something else.

    Raises UploadRefused with the codes ``too-large``, ``invalid-json`` and ``invalid-member``, and those of ``bodies``.
    """
    with running(request) as upload:
        await invite(request)
        body = await read_whole(request, upload, max_bytes=MAX_BODY_BYTES, what="request", if_broken=_BROKEN)
    if body is None:
        raise UploadRefused("too-large", f"The request is larger than {MAX_BODY_BYTES} bytes.")
    return _parse(body, model, example)


def wrong_member(name: str, reason: str) -> UploadRefused:
    """Return the error of a member that means nothing."""
    return UploadRefused("invalid-member", f'The member "{name[:100]}" is wrong: {reason}.')


def _parse(body: bytes, model: type[M], example: str) -> M:
    try:
        document = json.loads(body, object_pairs_hook=once_each)
    except RepeatedMember as error:
        raise wrong_member(error.name, "it stands there twice") from error
    except (ValueError, RecursionError) as error:
        text = f"The body is no JSON ({error}). Send an object, for example: {example}"
        raise UploadRefused("invalid-json", text) from error
    if not isinstance(document, dict):
        raise UploadRefused("invalid-json", f"The body must be a JSON object, for example: {example}")
    members = model.model_fields
    for name in document:
        if name not in members:
            raise wrong_member(name, f"there is no such member; there are {', '.join(members)}")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise wrong_member(str(fault["loc"][0]), _reason(fault, example)) from error


def _reason(fault: Any, example: str) -> str:
    if fault["type"] == "missing":
        return f"it is missing, for example: {example}"
    return str(fault["ctx"]["error"] if fault["type"] == "value_error" else fault["msg"])
