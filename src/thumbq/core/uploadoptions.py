"""Options that a sender gives with a file: the queue, the presets, and the callback."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from thumbq.core import callback, filenames, jobmetadata, message, objectmetadata
from thumbq.errors import UploadRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from thumbq.core.callbackrules import CallbackRules

_MAX_METADATA_BYTES: Final = 1900
"""Of the 2,048 that S3 takes; thumbq's own mark of a put needs some too."""
_MAX_FILENAME_BYTES: Final = 1500


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """All may be left out: None and () are the default queue and the presets of the routes.

    ``priority`` is a queue's name in the settings. ``group`` is the message group on a FIFO queue, by default the
    original's key; ``tenant`` is the same on a standard one, which makes it a fair queue and orders nothing (Amazon SQS
    Developer Guide, "Fair queues"). ``metadata`` is as jobmetadata has it.
    """

    priority: str | None = None
    group: str | None = None
    tenant: str | None = None
    presets: tuple[str, ...] = ()
    callback_url: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


NO_OPTIONS: Final = UploadOptions()


def check(
    options: UploadOptions, *, fifo: bool, presets: Collection[str], callbacks: CallbackRules | None = None
) -> None:
    """Raise UploadRefused for options that a queue (``fifo`` or standard) does not take or that name other presets.

    The same for a callback that could never be called, if any are: ``callbacks`` says which.
    """
    if options.group is not None and not fifo:
        text = "A group needs a FIFO queue, and this one is a standard queue: leave it out, or name a tenant."
        raise UploadRefused("group-not-taken", text)
    if options.tenant is not None and fifo:
        text = "A tenant needs a standard queue, and this one is a FIFO queue: leave it out, or name a group."
        raise UploadRefused("tenant-not-taken", text)
    for name in options.presets:
        if name not in presets:
            text = f"There is no preset {name!r}; there are: {', '.join(presets)}."
            raise UploadRefused("unknown-preset", text)
    if options.callback_url is not None:
        try:
            callback.checked(options.callback_url)
        except ValueError as error:
            raise UploadRefused("invalid-callback-url", f"This callback is not taken: {error}.") from error
        check_callback(options.callback_url, callbacks)
    try:
        jobmetadata.check(options.metadata)
    except ValueError as error:
        raise UploadRefused("invalid-metadata", f"This metadata is not taken: {error}.") from error
    _metadata(options)


def check_callback(url: str | None, callbacks: CallbackRules | None) -> None:
    """Raise UploadRefused for a callback that could never be called. Without rules none is called, and all are kept."""
    if url is not None and callbacks is not None and (reason := callbacks.refusal(url)) is not None:
        raise UploadRefused("callback-not-allowed", f"This callback could never be called: {reason}.")


def metadata(options: UploadOptions, filename: str | None) -> dict[str, str]:
    """Return an original's metadata: a job that names no options is done with those that stand there."""
    found = _metadata(options)
    room = min(_MAX_FILENAME_BYTES, _MAX_METADATA_BYTES - _size(found) - len(filenames.FILENAME))
    return found | filenames.encode(filename, max_bytes=max(0, room))


def group_of(options: UploadOptions, source_key: str, *, fifo: bool) -> str | None:
    """Return the message group that the job is sent with."""
    text = options.group or options.tenant or (source_key if fifo else None)
    return None if text is None else message.group_id(text)


def _metadata(options: UploadOptions) -> dict[str, str]:
    try:
        found = objectmetadata.encode(presets=options.presets, callback_url=options.callback_url)
    except ValueError as error:
        raise _too_much() from error
    found |= jobmetadata.encode(options.metadata)
    if _size(found) > _MAX_METADATA_BYTES:
        raise _too_much()
    return found


def _too_much() -> UploadRefused:
    text = f"Presets, callback URL and metadata may take {_MAX_METADATA_BYTES:,} bytes together: leave some out."
    return UploadRefused("too-much-metadata", text)


def _size(found: dict[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in found.items())
