"""The record of an idempotency key: which request has the key, and what has become of its files."""

from __future__ import annotations

import hashlib
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from thumbq.core import keys
from thumbq.core.record import StoredRecord


class FileRecord(BaseModel):
    """One file of a request, in their order. Its end is its message or a refusal; without one it can be tried again."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str = Field(description="SHA-256 of the file, its name and its options.")
    id: str | None = Field(default=None, description="Of its job; known before the original is stored.")
    message_id: str | None = None
    code: str | None = Field(default=None, description="Why it was refused.")
    text: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether another try would not do anything for it."""
        return self.message_id is not None or self.code is not None


class KeyRecord(StoredRecord):
    """What is known under one idempotency key. Times are POSIX seconds.

    ``claimed`` by a request that is at work, ``open`` when it has ended and left something to be done, ``complete``
    when each try has the same answer. ``generation`` counts the claims. Ids are made of ``seed``, the time of the first
    claim and the replica's ``key_prefixes`` then, so that each try gives a file the same one. Of the files it says
    nothing: they may be deleted.
    """

    OMITS_NONE: ClassVar[bool] = True
    MAX_BYTES: ClassVar[int] = 1 << 20

    version: Literal[1] = 1
    state: Literal["claimed", "open", "complete"] = "claimed"
    created_at: float
    claimed_at: float
    generation: int = 1
    seed: str
    key_prefixes: int | None = Field(default=None, description="Over how many the ids are spread; None is one.")
    files: tuple[FileRecord, ...] = ()

    def with_ids(self) -> KeyRecord:
        """Return the record with the id of each file."""
        files = [
            file.model_copy(update={"id": self.id_of(number, file.fingerprint)})
            for number, file in enumerate(self.files)
        ]
        return self.model_copy(update={"files": tuple(files)})

    def id_of(self, number: int, fingerprint: str) -> str:
        """Return the id of the file with this number and fingerprint: others have another one."""
        digest = hashlib.sha256(f"{self.seed} {number} {fingerprint}".encode()).digest()
        return keys.new_id(int(self.created_at * 1000), int.from_bytes(digest[:10]), self.key_prefixes or 1)


class ElectionRecord(StoredRecord):
    """Says that somebody takes a key over. It is put only if absent, under the number of the claim that will be."""

    version: Literal[1] = 1
    claimed_at: float
