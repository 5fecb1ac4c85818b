"""Every error that thumbq raises itself.

::

    ThumbqError
    ├── SetupError              the start cannot go on; lists every problem with its fix
    ├── BackendError            something that S3, SQS or the local directory answered
    │   ├── BackendUnavailable  network, throttling, 5xx, disk full: try again later
    │   │   ├── RestartNeeded   what was opened is there no more, and only another start opens what there is now
    │   │   └── BadAnswer       no answer of S3 or SQS at all, or one without what it must have
    │   ├── BackendRefused      answered with a refusal: of this request, or of everybody's (only a probe can tell)
    │   │   ├── AccessDenied    the credentials may not do this
    │   │   ├── ObjectArchived  the object is in an archive and has to be restored before it can be read
    │   │   └── SourceDenied    the store refuses to hand out a job's original (code)
    │   ├── StoreFull           there is room only for the jobs of what was uploaded before
    │   ├── ObjectMissing       there is no such object
    │   ├── ObjectExists        a put-if-absent found an object
    │   ├── ObjectTooLarge      the object is larger than the caller takes
    │   └── SendRefused         the queue said no: the message is certainly not in it
    │       └── NotSent         it is not there, and may be taken later: throttled, not reached, disk full
    ├── UploadRefused           an upload that is not accepted (code)
    ├── KeyNotFree              an upload whose idempotency key belongs to another one, or is at work (code)
    ├── JobFailed               permanent: another attempt would end the same way (code)
    │   ├── MalformedMessage    the body is no job
    │   ├── BucketNotAllowed    the message names a bucket that thumbq does not serve
    │   ├── UnknownPreset       the message names a preset that the settings do not have
    │   ├── SourceMissing       the original is gone
    │   ├── SourceArchived      the original is in an archive
    │   └── RenderRefused       the image is not rendered: unsupported, corrupt, too large …
    ├── RenderKilled            the render process died or ran out of time; says nothing sure about the image
    ├── JobDeleted              the job was deleted: nothing of it is kept
    ├── SourceReplaced          the original is another one by now: what was rendered of the old one is not stored
    ├── RenderUnavailable       no render at the moment, for no fault of the image: no process, a host that stood still
    └── NotReached              an endpoint of a callback has not answered, or may not be called (reason)

Foreign errors are turned into these in one place per adapter: ``aws/errors.py``, ``local/errors.py``
and ``pool/entrypoint.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ThumbqError(Exception):
    """Base of all errors of thumbq."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong at the start, and what to do about it."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}\n    fix: {self.fix}"


class SetupError(ThumbqError):
    """The start cannot go on; ``problems`` holds everything that was found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class BackendError(ThumbqError):
    """An answer of the store or the queue that is not the one asked for."""


class BackendUnavailable(BackendError):
    """The store or the queue cannot answer now. Whether the request took effect is unknown."""


class RestartNeeded(BackendUnavailable):
    """What this process has opened is not what lies under its name now: another process would open that."""


class BadAnswer(BackendUnavailable):
    """What answered is no S3 or SQS (a proxy's page), or its answer lacks what it must have."""


class BackendRefused(BackendError):
    """The request was answered with a refusal.

    It may be about this request alone (a key that may not be used) or about all (a key that was disabled for the
    whole bucket): the answer does not say which.
    """


class AccessDenied(BackendRefused):
    """The credentials do not allow this request."""


class ObjectArchived(BackendRefused):
    """The object is in an archive (S3 Glacier): it cannot be read before it is restored."""


class SourceDenied(BackendRefused):
    """The store refuses to hand out a job's original. ``code`` is what the job fails with at its last receive."""

    code = "source-denied"


class StoreFull(BackendError):
    """The store has no room for another upload; nothing of it was stored."""


class ObjectMissing(BackendError):
    """There is no object under this key."""


class ObjectExists(BackendError):
    """A put that must not overwrite found an object under its key."""


class ObjectTooLarge(BackendError):
    """The object has more bytes than the caller said it would take: ``size``, or more."""

    def __init__(self, text: str, size: int) -> None:
        super().__init__(text)
        self.size = size


class SendRefused(BackendError):
    """The queue definitely refused the message: it is not in the queue and never will be."""


class NotSent(SendRefused):
    """The message is certainly not in the queue, but could not be taken now only: another send may do."""


class UploadRefused(ThumbqError):
    """An upload that is not accepted. ``code`` is stable and machine-readable, ``text`` says what to do about it."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class KeyNotFree(ThumbqError):
    """An upload cannot have its idempotency key: another one has it, or the same one is under way or was deleted.

    ``code`` says which.
    """

    def __init__(self, code: str, text: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.retry_after_s = retry_after_s


class JobFailed(ThumbqError):
    """The job cannot succeed, however often it is tried. ``code`` is stable and machine-readable."""

    code = "failed"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class MalformedMessage(JobFailed):
    """The message's body is none of the forms that are jobs."""

    code = "malformed-message"


class BucketNotAllowed(JobFailed):
    """The message names a bucket that is not served here."""

    code = "bucket-not-allowed"


class UnknownPreset(JobFailed):
    """The message asks for a preset that the settings do not define."""

    code = "unknown-preset"


class SourceMissing(JobFailed):
    """The original that the message names does not exist."""

    code = "source-missing"


class SourceArchived(JobFailed):
    """The original that the message names is in an archive."""

    code = "source-archived"


class RenderRefused(JobFailed):
    """The render looked at the image and does not make it; ``code`` says why."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class RenderKilled(ThumbqError):
    """The render process was killed: by a crash, the memory or CPU limit, or the deadline.

    ``code`` is ``render-crashed`` or ``decode-timeout``.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class JobDeleted(ThumbqError):
    """The job was deleted: nothing of it is kept, and nobody is told of it."""


class SourceReplaced(ThumbqError):
    """The original was replaced while it was rendered."""


class RenderUnavailable(ThumbqError):
    """No render can be made at the moment, for no fault of the image: another time it may be."""


class NotReached(ThumbqError):
    """An endpoint of a callback has not answered, or its address may not be reached. ``reason`` is for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
