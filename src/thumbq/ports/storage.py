"""The port to objects: S3, or files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thumbq.core.job import ObjectRef


class Sink(Protocol):
    """A writer of bytes that never blocks for long: a memory file."""

    def write(self, data: bytes | bytearray | memoryview, /) -> int | None:
        """Append all of ``data``."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """The attributes of an object. ``etag`` changes with the content and has no quotes.

    ``size`` is None when the store does not say it (to a HEAD); what came with the bytes has it.
    """

    size: int | None
    etag: str
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as a listing shows it."""

    key: str
    size: int
    modified_at: float
    """POSIX seconds of its last put."""


class ObjectStore(Protocol):
    """Whole objects under keys of up to 1,024 bytes of UTF-8.

    Every method raises BackendUnavailable when the store cannot answer and BackendRefused when it refuses to:
    AccessDenied to the credentials, ObjectArchived to read what is in an archive.
    """

    async def put(
        self,
        ref: ObjectRef,
        body: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> str:
        """Store an object whole and durably, and return its ETag.

        ``metadata`` is ASCII, names in lower case. With ``if_absent`` an object under the same key stays as it
        is and ObjectExists is raised.
        """
        ...

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        """Return an object. Raises ObjectMissing, or ObjectTooLarge before it reads more than ``max_bytes``.

        ObjectTooLarge has the object's size.
        """
        ...

    async def fetch(self, ref: ObjectRef, sink: Sink, *, max_bytes: int) -> ObjectInfo:
        """Write an object's bytes to ``sink`` as they arrive. Errors as in ``get``."""
        ...

    async def head(self, ref: ObjectRef) -> ObjectInfo:
        """Return an object's attributes. Raises ObjectMissing."""
        ...

    async def delete(self, ref: ObjectRef) -> None:
        """Remove an object; it is no error when there is none."""
        ...

    async def list(self, bucket: str, *, prefix: str, after: str = "", limit: int = 1000) -> Sequence[ListedObject]:
        """Return the next objects whose keys start with ``prefix`` and come after the key ``after``.

        Keys are in the order of their UTF-8 bytes. There may be fewer than ``limit`` (1 to 1,000) though more follow;
        only an empty answer is the end.
        """
        ...
