"""The requests that every job makes about objects, at the price of the request itself.

aiobotocore takes three to five times the CPU of the request that it sends: it resolves the endpoint, builds the URL,
calls hooks and reads the answer by its model, each time anew. The fast path repeats what aiobotocore has done for the
same bucket (see ``learnedways``), signed with the same credentials, on the same connections. It knows plain answers
only. Whatever else comes of a request, aiobotocore makes it again and has the last word: on errors, regions, retries.
"""

from __future__ import annotations

import hashlib
import re
import time
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
import deflate
from aiohttp import ClientError
from yarl import URL

from thumbq.aws.learnedways import LearnedWays, quoted
from thumbq.aws.objectbody import ObjectBody
from thumbq.aws.requestbody import in_pieces
from thumbq.aws.signing import UNSIGNED, signed
from thumbq.errors import ObjectExists, ObjectMissing
from thumbq.ports.observing import Called, emit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientResponse
    from types_aiobotocore_s3.client import S3Client

    from thumbq.aws.credentials import Credentials
    from thumbq.aws.httpsession import HttpSession
    from thumbq.aws.learnedways import Way
    from thumbq.core.job import ObjectRef

_WAYS: Final = 256
_OK: Final = 200
_NO_CONTENT: Final = 204
_NO_OBJECT: Final = 404
_EXISTS: Final = 412
_SHORT_BYTES: Final = 1 << 16
_META: Final = "x-amz-meta-"
_PLAIN_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_PLAIN_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class FastPath:
    """Sends what a client sends, as that was seen to send it.

    Each method returns None when the client has to make the request.
    """

    def __init__(self, client: S3Client, credentials: Credentials) -> None:
        endpoint: Any = client._endpoint  # type: ignore[attr-defined]  # noqa: SLF001 - nothing public has its connections
        self._http: HttpSession = endpoint.http_session
        self._credentials = credentials
        self._ways = LearnedWays(limit=_WAYS, now=anyio.current_time)
        self._ways.watch(client)

    async def put(self, ref: ObjectRef, request: Mapping[str, Any]) -> Any:
        """Store an object by the parameters of PutObject. Raises ObjectExists when ``IfNoneMatch`` is among them."""
        metadata = {f"{_META}{name}": value for name, value in request["Metadata"].items()}
        headers = {"Content-Type": request["ContentType"], **metadata}
        if not all(_PLAIN_NAME.fullmatch(name) and _PLAIN_VALUE.fullmatch(value) for name, value in headers.items()):
            return None
        if "IfNoneMatch" in request:
            headers["If-None-Match"] = request["IfNoneMatch"]
        response = await self._send("PUT", ref, headers, request["Body"])
        if response is None:
            return None
        body = await _short(response)
        if response.status == _EXISTS and "IfNoneMatch" in request:
            self._ways.worked(ref.bucket, "PUT")
            raise ObjectExists(f"put {ref}: there is one (412)")
        return self._judged("PUT", ref, response, plain=response.status == _OK and body == b"")

    async def get(self, ref: ObjectRef) -> Any:
        """Ask for an object. Raises ObjectMissing."""
        response = await self._send("GET", ref)
        if response is None:
            return None
        if response.status == _NO_OBJECT and b"<Code>NoSuchKey</Code>" in (await _short(response) or b""):
            self._ways.worked(ref.bucket, "GET")
            raise ObjectMissing(f"get {ref}: NoSuchKey (404)")
        plain = response.status == _OK and response.headers.get("Content-Length", "").isdecimal()
        if (answer := self._judged("GET", ref, response, plain=plain)) is None:
            response.close()
            return None
        return {**answer, "Body": ObjectBody(response)}

    async def head(self, ref: ObjectRef) -> Any:
        """Ask for an object's attributes. Raises ObjectMissing."""
        response = await self._send("HEAD", ref)
        if response is None:
            return None
        response.release()
        if response.status == _NO_OBJECT:
            self._ways.worked(ref.bucket, "HEAD")
            raise ObjectMissing(f"head {ref}: there is none (404)")
        return self._judged("HEAD", ref, response, plain=response.status == _OK)

    async def delete(self, ref: ObjectRef) -> bool:
        """Remove an object; returns whether that is done."""
        response = await self._send("DELETE", ref)
        if response is None:
            return False
        response.release()
        if done := response.status == _NO_CONTENT:
            self._ways.worked(ref.bucket, "DELETE")
        else:
            self._ways.failed(ref.bucket, "DELETE")
        return done

    async def _send(
        self, method: str, ref: ObjectRef, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> ClientResponse | None:
        way = self._ways.find(ref.bucket, method)
        if way is None:
            return None
        session = await self._http.session_for(way.url)
        if session is None:
            return None
        key = quoted(ref.key)
        signed_headers = signed(
            {**way.headers, **(headers or {}), **_checksum(way, body)},
            method=method,
            path=way.path + key,
            body_hash=_hash(way, body),
            region=way.region,
            credentials=await self._credentials.get_frozen_credentials(),
            now_s=time.time(),
        )
        try:
            response = await session.request(
                method,
                URL(way.url + key, encoded=True),
                headers={**way.unsigned_headers, **signed_headers},
                data=None if body is None else in_pieces(body),
                allow_redirects=False,
            )
        except (ClientError, OSError, TimeoutError):
            emit(Called("s3", method, None))
            self._ways.failed(ref.bucket, method)
            return None
        emit(Called("s3", method, response.status, response.headers))
        return response

    def _judged(self, method: str, ref: ObjectRef, response: ClientResponse, *, plain: bool) -> Any:
        """Return a plain answer as botocore would, or None."""
        headers = response.headers
        if not plain or "ETag" not in headers:
            self._ways.failed(ref.bucket, method)
            return None
        self._ways.worked(ref.bucket, method)
        length = headers.get("Content-Length")
        answer: dict[str, Any] = {
            "ETag": headers["ETag"],
            "Metadata": {
                name[len(_META) :].lower(): value for name, value in headers.items() if name.lower().startswith(_META)
            },
            "ResponseMetadata": {"HTTPHeaders": {} if length is None else {"content-length": length}},
        }
        if "Content-Type" in headers:
            answer["ContentType"] = headers["Content-Type"]
        if length is not None and length.isdecimal():
            answer["ContentLength"] = int(length)
        return answer


def _hash(way: Way, body: bytes | None) -> str:
    return hashlib.sha256(body or b"").hexdigest() if way.signs_body or body is None else UNSIGNED


def _checksum(way: Way, body: bytes | None) -> dict[str, str]:
    if body is None or not way.adds_crc:
        return {}
    return {"x-amz-checksum-crc32": b64encode(deflate.crc32(body).to_bytes(4, "big")).decode()}


async def _short(response: ClientResponse) -> bytes | None:
    """Return the body of an answer that is no object; None when it does not come, or is longer than any such body."""
    body = b""
    with suppress(ClientError, OSError, TimeoutError):
        while len(body) <= _SHORT_BYTES:
            piece = await response.content.read(_SHORT_BYTES + 1 - len(body))
            if not piece:
                return body
            body += piece
    response.close()
    return None
