"""What in the settings, a queue's own ones too, will hurt one day, though the service can start."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from thumbq.core import callbackmessage, callbackretry
from thumbq.errors import Problem
from thumbq.ports import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from thumbq.ports import QueueAttributes
    from thumbq.settings import Settings

LEAST_RECEIVES: Final = 5
LEAST_RECEIVES_FIFO: Final = 10
"""More than on a standard queue: what fails in a group costs those that came behind it a receive too."""

LEAST_CALLBACK_RECEIVES: Final = 2 * callbackretry.CALLS
"""Some receives lead to no call, as when a replica stops."""

LEAST_CALLBACK_RETENTION_S: Final = 4 * 86_400
"""All calls take 64 hours, if no endpoint asks for longer waits."""

LEAST_MESSAGE_BYTES: Final = 32 << 10
"""A callback has up to 20 KiB besides its address; S3's events and uploads with metadata have a few."""

_BEATS: Final = 3


def start_warnings(
    settings: Settings, queues: Iterable[QueueAttributes], callbacks: QueueAttributes | None
) -> Iterator[Problem]:
    """Yield everything that an operator should know of the queues, that of ``callbacks`` too, each with its fix."""
    visibility_timeout_s, beat_interval_s = settings.visibility_timeout_s, settings.beat_interval_s
    for attributes in queues:
        yield from queue_warnings(
            attributes, visibility_timeout_s=visibility_timeout_s, beat_interval_s=beat_interval_s
        )
        yield from retention_warnings(settings, attributes)
    if callbacks is not None:
        yield from callback_warnings(callbacks)
    if (weights := weights_warning(settings)) is not None:
        yield weights


def queue_warnings(
    attributes: QueueAttributes, *, visibility_timeout_s: int, beat_interval_s: float
) -> Iterator[Problem]:
    """Yield what an operator should know of a queue of jobs."""
    yield from _size_warnings(attributes)
    if attributes.max_receive_count is None:
        yield Problem(
            f"queue {attributes.name} has no redrive policy: what always fails comes back until its retention ends",
            "give it a dead-letter queue (`thumbq setup` makes one)",
        )
    else:
        if attributes.fifo and attributes.max_receive_count < LEAST_RECEIVES_FIFO:
            yield Problem(
                f"queue {attributes.name} allows {attributes.max_receive_count} receives: each failure in a group"
                " also costs one of each message behind it, up to nine",
                f"raise maxReceiveCount to 20, and not below {LEAST_RECEIVES_FIFO}",
            )
        elif attributes.max_receive_count < LEAST_RECEIVES:
            yield Problem(
                f"queue {attributes.name} allows {attributes.max_receive_count} receives:"
                " a few stops of replicas use them up",
                "raise maxReceiveCount to 10, and not below 5",
            )
        if _ends_first(attributes.dead_letter_retention_s, attributes.retention_s):
            yield Problem(
                f"the dead letters of queue {attributes.name} are kept for {attributes.dead_letter_retention_s} s,"
                " counted from the first send where the queue moved them: they may be gone before anyone looks",
                "make the dead-letter queue's retention longer than the queue's; 14 days are the most",
            )
    if visibility_timeout_s < _BEATS * beat_interval_s:
        yield Problem(
            f"a visibility time-out of {visibility_timeout_s} s is less than {_BEATS} heartbeats of"
            f" {beat_interval_s:g} s: one that fails may lose the message",
            "raise THUMBQ_VISIBILITY_TIMEOUT_S, or lower THUMBQ_HEARTBEAT_S",
        )


def retention_warnings(settings: Settings, attributes: QueueAttributes) -> Iterator[Problem]:
    """Yield what goes before the dead letters that need it, where a queue keeps them longer than one of setup's."""
    if attributes.retention_s is None or attributes.dead_letter_retention_s is None:
        return
    days = math.ceil((attributes.retention_s + attributes.dead_letter_retention_s) / 86_400)
    for prefix, kept in settings.kept_less_than(days, settings.catalog):
        yield Problem(
            f"[retention] {prefix!r} = {kept}: dead letters of queue {attributes.name}, which become {days} days old,"
            " need it",
            f"say {days} days or more, or lower the retention of the queue or of its dead-letter queue",
        )


def callback_warnings(attributes: QueueAttributes) -> Iterator[Problem]:
    """Yield what an operator should know of the queue of callbacks."""
    yield from _size_warnings(attributes)
    if attributes.max_receive_count is None:
        yield Problem(
            f"queue {attributes.name} has no redrive policy: nothing is known of callbacks that were given up",
            "give it a dead-letter queue (`thumbq setup` makes one)",
        )
    elif attributes.max_receive_count < LEAST_CALLBACK_RECEIVES:
        yield Problem(
            f"queue {attributes.name} allows {attributes.max_receive_count} receives: callbacks would be dead letters"
            f" before their {callbackretry.CALLS} calls were made",
            f"raise its maxReceiveCount to {callbackmessage.MAX_RECEIVES}",
        )
    if attributes.retention_s is not None and attributes.retention_s < LEAST_CALLBACK_RETENTION_S:
        yield Problem(
            f"queue {attributes.name} keeps messages for {attributes.retention_s} s: callbacks would be lost before"
            f" their {callbackretry.CALLS} calls were made",
            "raise its retention to 14 days",
        )


def _size_warnings(attributes: QueueAttributes) -> Iterator[Problem]:
    if attributes.max_message_bytes is not None and attributes.max_message_bytes < LEAST_MESSAGE_BYTES:
        yield Problem(
            f"queue {attributes.name} takes messages of at most {attributes.max_message_bytes} bytes: it refuses larger"
            " ones, as of uploads with metadata, events of S3, callbacks",
            f"raise its MaximumMessageSize to 262144, and not below {LEAST_MESSAGE_BYTES}",
        )


def weights_warning(settings: Settings) -> Problem | None:
    """Return why weights will not hold: shares are given out among renders that wait, so each queue needs some."""
    least = settings.processes + MAX_BATCH
    if settings.jobs_in_flight >= least or all(config.weight is None for config in settings.queue_configs):
        return None
    return Problem(
        f"with {settings.jobs_in_flight} jobs in flight a queue often has none that waits for a render process: then"
        " the others get its share, whatever the weights say",
        f"unset THUMBQ_CONCURRENCY, or raise it to {least}: THUMBQ_PROCESSES + {MAX_BATCH}",
    )


def _ends_first(dead_s: int | None, own_s: int | None) -> bool:
    return dead_s is not None and (own_s is None or dead_s <= own_s)
