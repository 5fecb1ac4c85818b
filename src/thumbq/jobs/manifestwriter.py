"""What became of jobs: the manifest that an attempt finds, and the one that it leaves."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from thumbq.core import keys
from thumbq.core.failedmessage import FailedMessage
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import ErrorRecord, Manifest, SourceRecord
from thumbq.errors import ObjectExists
from thumbq.manifests import manifest_ref, read_manifest, with_findings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.job import JobRequest
    from thumbq.core.manifest import RenditionRecord
    from thumbq.core.preset import Preset
    from thumbq.core.retry import Bury
    from thumbq.ports import Backend, Clock, ObjectInfo, ReceivedMessage, Rendered
    from thumbq.settings import Settings


@dataclass(slots=True)
class Attempt:
    """What one attempt at a job has learned so far; ``previous`` is known once it has ``looked``.

    ``number`` counts the message's jobs from 1. ``presets`` are empty while nobody knows what the original's metadata
    asks for. ``store_away``: the attempt ended because the store fails for everybody.
    """

    message: ReceivedMessage
    request: JobRequest
    number: int = 1
    presets: Sequence[Preset] = ()
    callback_url: str | None = None
    store_away: bool = False
    looked: bool = False
    previous: Manifest | None = None
    head_etag: str | None = None
    source_gone: bool = False
    info: ObjectInfo | None = None
    rendered: Rendered | None = None

    @property
    def etag(self) -> str | None:
        """The ETag of the source as this attempt has seen it; None when it has not."""
        return self.info.etag if self.info else self.head_etag

    def is_done(self) -> bool:
        """Whether the manifest that was found has all that is asked for, of the source as it is now.

        A source that was removed since counts as the one that the manifest knows, and so does what its metadata asked
        for.
        """
        if self.previous is None or self.previous.status != "done":
            return False
        if not self.presets:
            return self.source_gone
        etag = self.previous.source.etag if self.source_gone else self.etag
        wanted = {preset.name: preset.fingerprint for preset in self.presets}
        return wanted.keys() <= self.previous.current(etag=etag, fingerprints=wanted).keys()

    def leaves_alone(self) -> bool:
        """Whether the manifest that was found says done, and this attempt knows of no other source than that one's."""
        if self.previous is None or self.previous.status != "done" or self.info is not None:
            return False
        return self.etag is None or self.etag == self.previous.source.etag


class ManifestWriter:
    """Reads and writes manifests, and the records of messages that have none."""

    def __init__(self, *, backend: Backend, settings: Settings, clock: Clock) -> None:
        self._store = backend.store
        self._bucket = backend.bucket
        self._settings = settings
        self._clock = clock

    async def read(self, attempt: Attempt) -> None:
        """Look for the manifest of an earlier attempt."""
        attempt.previous = await read_manifest(self._store, attempt.request.source)
        attempt.looked = True

    async def write_done(self, attempt: Attempt, made: dict[str, RenditionRecord]) -> None:
        """Record what was made, beside what is still current of before."""
        await self._write(attempt, self._manifest(attempt, made=made))

    async def write_failed(self, message: ReceivedMessage, attempt: Attempt | None, bury: Bury) -> bool:
        """Record a failure: in the manifest of the original, or of the message alone when it names none of ours.

        Returns False, and writes nothing, when the manifest says by now that the job is done: the answer to our own
        put was lost, or somebody else has done it. It never goes over a manifest that says done of the same source when
        this attempt made nothing anew: then, too, the record is that of the message alone.
        """
        if attempt is None or attempt.request.source.bucket != self._bucket:
            await self.keep_message(message, bury)
            return True
        # Somebody may put one between our look and our put; and there may be one that cannot be read.
        for overwrite in (False, True):
            await self.read(attempt)
            if attempt.is_done():
                return False
            if attempt.leaves_alone():
                await self.keep_message(message, bury)
                break
            failed = self._manifest(attempt, error=ErrorRecord(code=bury.code, message=bury.text))
            with suppress(ObjectExists):
                await self._write(attempt, failed, if_absent=attempt.previous is None and not overwrite)
                break
        return True

    async def keep_message(self, message: ReceivedMessage, bury: Bury) -> None:
        """Keep a message whole, with the reason of its failure."""
        record = FailedMessage(
            message_id=message.id,
            receive_count=message.receive_count,
            body=message.body,
            error=ErrorRecord(code=bury.code, message=bury.text),
            finished_at=self._now(),
        )
        ref = ObjectRef(self._bucket, keys.failed_message_key(message.id))
        await self._store.put(ref, record.encode(), content_type="application/json")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), UTC)

    def _manifest(
        self, attempt: Attempt, *, made: dict[str, RenditionRecord] | None = None, error: ErrorRecord | None = None
    ) -> Manifest:
        previous = attempt.previous
        etag = attempt.etag or (previous.source.etag if previous else None)
        fingerprints = {name: preset.fingerprint for name, preset in self._settings.presets.items()}
        kept = previous.current(etag=etag, fingerprints=fingerprints) if previous else {}
        return Manifest(
            status="failed" if error else "done",
            source=_source_record(attempt, etag),
            renditions={**kept, **(made or {})},
            error=error,
            callback_url=attempt.callback_url,
            message_id=attempt.message.id,
            receive_count=attempt.message.receive_count,
            finished_at=self._now(),
        )

    async def _write(self, attempt: Attempt, record: Manifest, *, if_absent: bool = False) -> None:
        ref = manifest_ref(attempt.request.source)
        await self._store.put(ref, record.encode(), content_type="application/json", if_absent=if_absent)


def _source_record(attempt: Attempt, etag: str | None) -> SourceRecord:
    """Say what this attempt and, of the same bytes, the one before it have come to know."""
    source, previous = attempt.request.source, attempt.previous
    record = SourceRecord(bucket=source.bucket, key=source.key, etag=etag)
    if previous is not None and previous.source.etag == etag:
        record = previous.source.model_copy(update={"bucket": source.bucket, "key": source.key})
    if attempt.info is not None:
        record = record.model_copy(update={"bytes": attempt.info.size})
    return record if attempt.rendered is None else with_findings(record, attempt.rendered)
