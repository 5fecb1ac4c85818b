"""How aiobotocore sends requests about the objects of a bucket, learned from requests that it has sent.

Endpoint, style of addresses, region, redirects and options are botocore's to find. What it found is in the request that
it has sent: the URL before the key, the region of the signature, the way of checksums. The next requests like it can be
made from that.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from types_aiobotocore_s3.client import S3Client

METHODS: Final = {"GetObject": "GET", "HeadObject": "HEAD", "PutObject": "PUT", "DeleteObject": "DELETE"}

_FAULTS: Final = 3
_OFF_S: Final = 300.0
_SCOPE: Final = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/([^/]+)/s3/aws4_request,")
_KNOWN: Final = re.compile(
    r"x-amz-(content-sha256|date|security-token|checksum-crc32|checksum-mode|sdk-checksum-algorithm|trailer"
    r"|decoded-content-length|meta-.*)"
)
_KEPT: Final = ("Host", "x-amz-checksum-mode", "x-amz-sdk-checksum-algorithm")
_UNSIGNED: Final = ("User-Agent", "Accept-Encoding")
_TOLD: Final = {403, 404, 412}
"""Statuses of answers that say no to a request that was made well."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a request is made: ``url`` ends where the quoted key begins, and ``path`` is its path.

    ``signs_body`` says whether the hash of the body is signed, ``adds_crc`` whether a put has a CRC-32 of it.
    """

    url: str
    path: str
    region: str
    headers: Mapping[str, str]
    unsigned_headers: Mapping[str, str]
    signs_body: bool
    adds_crc: bool


@dataclass(slots=True)
class _Entry:
    way: Way | None = None
    faults: int = 0
    off_until: float = 0.0


class LearnedWays:
    """The ways to up to ``limit`` pairs of a bucket and a method; the one not used for the longest time goes first."""

    def __init__(self, *, limit: int, now: Callable[[], float]) -> None:
        self._limit = limit
        self._now = now
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()

    def __len__(self) -> int:
        """Return how many pairs are known."""
        return len(self._entries)

    def watch(self, client: S3Client) -> None:
        """Learn from the requests of a client."""
        for operation, method in METHODS.items():
            client.meta.events.register(f"after-call.s3.{operation}", self._learner(method))

    def find(self, bucket: str, method: str) -> Way | None:
        """Return the way, if one is known and is to be used."""
        entry = self._entries.get((bucket, method))
        if entry is None or entry.way is None:
            return None
        self._entries.move_to_end((bucket, method))
        return entry.way if self._now() >= entry.off_until else None

    def worked(self, bucket: str, method: str) -> None:
        """Note that a request on the way had a plain answer."""
        if (entry := self._entries.get((bucket, method))) is not None:
            entry.faults = 0

    def failed(self, bucket: str, method: str) -> None:
        """Forget a way on which a request failed, until aiobotocore's next request shows one.

        Three times in a row, with no word that aiobotocore fares no better, and it is left alone for five minutes.
        """
        entry = self._entries.get((bucket, method))
        if entry is None:
            return
        entry.way = None
        entry.faults += 1
        if entry.faults >= _FAULTS:
            entry.faults, entry.off_until = 0, self._now() + _OFF_S

    def _learner(self, method: str) -> Callable[..., None]:
        def learn(http_response: Any, context: Any, **_: Any) -> None:
            told = http_response.status_code in _TOLD
            if http_response.status_code >= 300 and not told:  # noqa: PLR2004 - success
                return
            params = context.get("s3_redirect", {}).get("params", {})
            bucket, key = params.get("Bucket", ""), params.get("Key", "")
            sent = getattr(http_response.raw, "request_info", None)
            way = None if sent is None else _way(str(sent.url), sent.headers, key)
            if way is not None and ":" not in bucket:
                self._keep(bucket, method, way, told=told)

        return learn

    def _keep(self, bucket: str, method: str, way: Way, *, told: bool) -> None:
        entry = self._entries.setdefault((bucket, method), _Entry())
        entry.way = way
        if told:
            entry.faults = 0
        self._entries.move_to_end((bucket, method))
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)


def quoted(key: str) -> str:
    """Return a key as it stands in a URL, as botocore quotes it."""
    return quote(key, safe="/~")


def _way(url: str, headers: Mapping[str, str], key: str) -> Way | None:
    """Return the way of a request that was sent, or None when there is something about it that is not known here."""
    scope = _SCOPE.match(headers.get("Authorization", ""))
    if scope is None or not key or not url.endswith(f"/{quoted(key)}"):
        return None
    if any(name.lower().startswith("x-amz-") and not _KNOWN.fullmatch(name.lower()) for name in headers):
        return None
    algorithm = headers.get("x-amz-sdk-checksum-algorithm", "CRC32")
    signs_body = re.fullmatch("[0-9a-f]{64}", headers.get("X-Amz-Content-SHA256", "")) is not None
    if algorithm != "CRC32" or not (signs_body or url.startswith("https:")):
        return None
    base = url.removesuffix(quoted(key))
    return Way(
        url=base,
        path="/" + base.partition("://")[2].partition("/")[2],
        region=scope[1],
        headers={name: headers[name] for name in _KEPT if name in headers},
        unsigned_headers={name: headers[name] for name in _UNSIGNED if name in headers},
        signs_body=signs_body,
        adds_crc="x-amz-sdk-checksum-algorithm" in headers,
    )
