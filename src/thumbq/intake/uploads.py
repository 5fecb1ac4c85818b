"""Uploads that come whole: recognise the image, store the original, queue its job. For the web and ``thumbq send``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Final

from thumbq.core import filenames, keys, uploadoptions
from thumbq.core.formats import ImageFormat, sniff
from thumbq.core.job import ObjectRef
from thumbq.core.uploadoptions import NO_OPTIONS, UploadOptions
from thumbq.errors import UploadRefused
from thumbq.intake.storing import Original, Queued, check_not_empty, store_and_queue, was_deleted
from thumbq.process import SystemClock

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from thumbq.core.callbackrules import CallbackRules
    from thumbq.ports import Backend, Clock

UNKNOWN_FORMAT: Final = (
    f"The file is not an image of a known format ({', '.join(known.name for known in ImageFormat)})."
)
_MAX_IDS: Final = 3


@dataclass(frozen=True, slots=True)
class Accepted:
    """An upload that is stored and queued. ``id`` is None for an original under a key of the caller's."""

    id: str | None
    source: ObjectRef
    message_id: str
    size: int
    content_type: str
    filename: str | None
    presets: tuple[str, ...] | None
    """None when they are left to the routes."""
    metadata: Mapping[str, str]
    """What is stored with the original."""


class UploadIntake:
    """Recognises, stores and queues uploads, one at a time or many at once.

    Jobs go to the queue of ``backend``, or by their priority to one of ``queues``. Options may name ``presets`` only,
    and callbacks that these rules allow. New keys are spread over ``key_prefixes``.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        clock: Clock,
        random: Random,
        key_prefixes: int = 1,
        queues: Mapping[str, Backend] | None = None,
        presets: Collection[str] = (),
        callbacks: CallbackRules | None = None,
    ) -> None:
        self._backend = backend
        self._queues = queues or {}
        self._presets = presets
        self._callbacks = callbacks
        self._clock = clock
        self._random = random
        self._key_prefixes = key_prefixes

    @property
    def priorities(self) -> Collection[str]:
        """What an upload's ``priority`` may be."""
        return self._queues.keys()

    def check(self, options: UploadOptions) -> None:
        """Raise UploadRefused for options that name a queue or a preset that does not exist, or do not fit a queue."""
        if options.priority is not None and options.priority not in self._queues:
            there_are = f"there are: {', '.join(self._queues)}" if self._queues else "there is only one: leave it out"
            text = f"There is no queue of the priority {options.priority!r}; {there_are}."
            raise UploadRefused("unknown-priority", text)
        fifo = self._queue_of(options).fifo
        uploadoptions.check(options, fifo=fifo, presets=self._presets, callbacks=self._callbacks)

    def check_file(self, body: bytes) -> None:
        """Raise UploadRefused for a file that is empty or of no known image format."""
        check_not_empty(body)
        _recognised(body)

    async def accept(
        self,
        body: bytes,
        *,
        filename: str | None,
        key: str | None = None,
        upload_id: str | None = None,
        options: UploadOptions = NO_OPTIONS,
        within_s: float = math.inf,
    ) -> Accepted:
        """Store an original and queue its job; when this returns, both are durable.

        Without ``key`` the original gets a new id and never overwrites anything; with it, it replaces the object under
        that key. With ``upload_id`` that is its id, under which an earlier try may have stored it. ``filename`` is kept
        as metadata only.

        Raises UploadRefused for a file of no known image format and for options that ``check`` refuses, SendRefused or
        BackendRefused when the queue refuses the job (an original under a new id is then removed again), and
        BackendUnavailable when it is unknown whether the job is queued (the original stays: the job may run), or when
        the store and the queue do not answer within ``within_s`` seconds.

        A cancelled call first finishes storing and queueing, within the same bound, so that no original is left
        without its message.
        """
        self.check(options)
        original = _original(body, filename, options)
        refs = list(self._new_refs()) if key is None and upload_id is None else [self._ref(key, upload_id)]
        queued = await store_and_queue(
            original,
            refs,
            backend=self._queue_of(options),
            options=options,
            if_absent=key is None,
            remove_if_refused=key is None,
            resume=upload_id is not None,
            within_s=within_s,
        )
        return _accepted(queued, original, filename, options)

    async def was_deleted(self, upload_id: str) -> bool:
        """Whether the job of an upload was deleted. Raises BackendError."""
        return await was_deleted(self._backend, upload_id)

    def accepted_before(
        self,
        body: bytes,
        *,
        filename: str | None,
        key: str | None,
        upload_id: str,
        options: UploadOptions,
        message_id: str,
    ) -> Accepted:
        """Return an upload that was stored and queued before, with this message, as ``accept`` did."""
        queued = Queued(self._ref(key, upload_id), message_id)
        return _accepted(queued, _original(body, filename, options), filename, options)

    def _ref(self, key: str | None, upload_id: str | None) -> ObjectRef:
        return ObjectRef(self._backend.bucket, keys.upload_key(upload_id or "") if key is None else key)

    def _new_refs(self) -> Iterator[ObjectRef]:
        for _ in range(_MAX_IDS):
            now_ms = int(self._clock.wall() * 1000)
            upload_id = keys.new_id(now_ms, self._random.getrandbits(80), self._key_prefixes)
            yield ObjectRef(self._backend.bucket, keys.upload_key(upload_id))

    def _queue_of(self, options: UploadOptions) -> Backend:
        return self._backend if options.priority is None else self._queues[options.priority]


def _original(body: bytes, filename: str | None, options: UploadOptions) -> Original:
    check_not_empty(body)
    content_type = _recognised(body).content_type
    return Original(body, content_type, uploadoptions.metadata(options, filenames.clean(filename)))


def _accepted(queued: Queued, original: Original, filename: str | None, options: UploadOptions) -> Accepted:
    return Accepted(
        id=keys.upload_id(queued.source.key),
        source=queued.source,
        message_id=queued.message_id,
        size=len(original.body),
        content_type=original.content_type,
        filename=filenames.clean(filename),
        presets=options.presets or None,
        metadata=original.metadata,
    )


def _recognised(body: bytes) -> ImageFormat:
    image_format = sniff(body)
    if image_format is None:
        raise UploadRefused("unsupported-format", UNKNOWN_FORMAT)
    return image_format


def make_upload_intake(
    backend: Backend,
    presets: Collection[str],
    queues: Mapping[str, Backend] | None = None,
    callbacks: CallbackRules | None = None,
    key_prefixes: int = 1,
) -> UploadIntake:
    """Return the intake over a queue, and those of other priorities, with ids from the system's random source."""
    return UploadIntake(
        backend=backend,
        clock=SystemClock(),
        random=SystemRandom(),
        queues=queues,
        presets=presets,
        callbacks=callbacks,
        key_prefixes=key_prefixes,
    )
