"""Claims of idempotency keys: of all requests with one key at most one is at work, on whatever replica.

The key's record is put only if absent. A request that ends leaves it complete, or open for the next one. A request that
dies leaves it claimed: who comes a minute later takes it over, and so that only one does, an object with the number of
the new claim is put only if absent first.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Final

from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.core.keyrecord import ElectionRecord, KeyRecord
from thumbq.errors import BackendError, BackendUnavailable, KeyNotFree, ObjectExists
from thumbq.process import SystemClock
from thumbq.records import read_record, write_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.keyrecord import FileRecord
    from thumbq.ports import Backend, Clock, ObjectStore

COUNTS_S: Final = 86_400
TAKEN_OVER_AFTER_S: Final = 60
RENEWED_AFTER_S: Final = 20
"""What is stored after it may take 20 seconds more: then the claim is younger than a minute still."""

_TRIES: Final = 4
_ELECTIONS: Final = 100


class Claims:
    """The idempotency keys of one bucket. A key is known here by a digest.

    New ids are spread over ``key_prefixes``.

    Every method raises BackendError. ``claim`` and ``check_unused`` raise KeyNotFree, too.
    """

    def __init__(self, store: ObjectStore, bucket: str, clock: Clock, random: Random, *, key_prefixes: int = 1) -> None:
        self._store = store
        self._bucket = bucket
        self._clock = clock
        self._random = random
        self._key_prefixes = key_prefixes if key_prefixes > 1 else None

    async def claim(self, digest: str, files: Sequence[FileRecord]) -> KeyRecord:
        """Claim a key for a request that begins with these files; the record that is returned is ours, or complete."""
        for _ in range(_TRIES):
            now = self._clock.wall()
            mine = self._new_record(now, files)
            try:
                await self._write(digest, mine, if_absent=True)
            except BackendUnavailable:
                with suppress(BackendError):  # it may be ours nonetheless
                    await self.end(digest, mine.model_copy(update={"state": "open"}))
                raise
            except ObjectExists:
                found = await self._read(digest)
                if found is not None and (claimed := await self._claim_found(digest, found, mine)) is not None:
                    return claimed
            else:
                return mine
        raise BackendUnavailable(f"the record of the idempotency key {digest} cannot be read or changes all the time")

    async def check_unused(self, digest: str) -> None:
        """Refuse a key that counts."""
        found = await self._read(digest)
        if found is not None and self._counts(found):
            raise _reused()

    async def renewed(self, digest: str, record: KeyRecord, files: Sequence[FileRecord]) -> KeyRecord:
        """Return our claim, renewed if it is getting old. Raises KeyNotFree when it was taken over."""
        if self._clock.wall() - record.claimed_at < RENEWED_AFTER_S:
            return record
        if not await self._is_ours(digest, record):
            raise _under_way()
        files = (*files, *record.files[len(files) :])
        renewed = record.model_copy(update={"claimed_at": self._clock.wall(), "files": files})
        await self._write(digest, renewed)
        return renewed

    async def end(self, digest: str, record: KeyRecord) -> None:
        """Write how a request has ended: complete, or open unless the key was taken over by now."""
        if record.state == "complete" or await self._is_ours(digest, record):
            await self._write(digest, record)

    def _new_record(self, now: float, files: Sequence[FileRecord]) -> KeyRecord:
        seed = f"{self._random.getrandbits(128):032x}"
        record = KeyRecord(
            created_at=now, claimed_at=now, seed=seed, key_prefixes=self._key_prefixes, files=tuple(files)
        )
        return record.with_ids()

    async def _claim_found(self, digest: str, found: KeyRecord, mine: KeyRecord) -> KeyRecord | None:
        """Return the record that is ours or complete; None when another look is needed."""
        counts = self._counts(found)
        if counts:
            check_same(found, mine.files)
            if found.state == "complete":
                return found
            if found.state == "claimed" and self._is_fresh(found.claimed_at):
                raise _under_way()
        generation = await self._elected(digest, found.generation)
        now = await self._read(digest)
        if now is None or (now.generation, now.claimed_at) != (found.generation, found.claimed_at):
            return None
        claimed = {"state": "claimed", "generation": generation, "claimed_at": self._clock.wall()}
        record = (found if counts else mine).model_copy(update=claimed)
        await self._write(digest, record)
        return record

    async def _elected(self, digest: str, generation: int) -> int:
        """Return the number of our claim, the first one that is free."""
        for number in range(generation + 1, generation + _ELECTIONS):
            ref = self._ref(digest, number)
            try:
                await write_record(self._store, ref, ElectionRecord(claimed_at=self._clock.wall()), if_absent=True)
            except ObjectExists:
                other = await read_record(self._store, ref, ElectionRecord)
                if other is None or self._is_fresh(other.claimed_at):
                    raise _under_way() from None
            else:
                return number
        raise _under_way()

    async def _is_ours(self, digest: str, record: KeyRecord) -> bool:
        found = await self._read(digest)
        return found is not None and (found.generation, found.seed) == (record.generation, record.seed)

    def _counts(self, record: KeyRecord) -> bool:
        return self._clock.wall() - record.created_at < COUNTS_S

    def _is_fresh(self, claimed_at: float) -> bool:
        # A clock may be set back: what seems to be of the future for long is no claim that will end.
        return abs(self._clock.wall() - claimed_at) < TAKEN_OVER_AFTER_S

    def _ref(self, digest: str, generation: int = 1) -> ObjectRef:
        return ObjectRef(self._bucket, keys.key_record_key(digest, generation))

    async def _read(self, digest: str) -> KeyRecord | None:
        return await read_record(self._store, self._ref(digest), KeyRecord)

    async def _write(self, digest: str, record: KeyRecord, *, if_absent: bool = False) -> None:
        await write_record(self._store, self._ref(digest), record, if_absent=if_absent)


def make_claims(backend: Backend, key_prefixes: int = 1) -> Claims:
    """Return the idempotency keys of a bucket, with seeds from the system's random source."""
    return Claims(backend.store, backend.bucket, SystemClock(), SystemRandom(), key_prefixes=key_prefixes)


def check_same(record: KeyRecord, files: Sequence[FileRecord], *, all_of_them: bool = False) -> None:
    """Raise KeyNotFree unless the files of a request are those that a record has, as far as both know them."""
    known = record.files
    more = len(files) > len(known) and record.state == "complete"
    if more or (all_of_them and len(files) < len(known)):
        raise _reused()
    if any(one.fingerprint != other.fingerprint for one, other in zip(files, known, strict=False)):
        raise _reused()


def _reused() -> KeyNotFree:
    text = "This Idempotency-Key was used for another upload. Send each upload with a key of its own."
    return KeyNotFree("idempotency-key-reused", text)


def _under_way() -> KeyNotFree:
    text = "The upload with this Idempotency-Key is under way. Ask again in a moment for its answer."
    return KeyNotFree("upload-under-way", text, retry_after_s=1)
