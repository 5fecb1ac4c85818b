"""``/queues``: how the queues are, and what has ended here in the last hour; pausing them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import anyio

from thumbq import pauses
from thumbq.core.series import STEP_S, total
from thumbq.errors import BackendError
from thumbq.web.queueanswers import (
    Counts,
    EndedSeries,
    Queue,
    QueuePaused,
    QueuePausedAnswer,
    Queues,
    QueuesAnswer,
)
from thumbq.web.queuedesk import DESK
from thumbq.web.services import SERVICES, in_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from thumbq.core.series import Histogram, Slot
    from thumbq.pauses import Pause
    from thumbq.web.queuedesk import DeskQueue, QueueDesk
    from thumbq.web.services import WebServices

_SEEN_S: Final = 300
_DIGITS: Final = 3
_MEDIAN: Final = 0.5
_P99: Final = 0.99


async def get_queues(request: web.Request) -> web.Response:
    """Answer the state of all queues. Of a queue that does not answer all else is said."""
    desk, services = request.app[DESK], request.app[SERVICES]
    found: dict[str, Queue] = {}

    async def look(queue: DeskQueue) -> None:
        found[queue.label] = await _queue(queue, desk, services)

    async with anyio.create_task_group() as tasks:
        for queue in desk.queues.values():
            tasks.start_soon(look, queue)
    data = Queues(
        replica=desk.replica,
        now=timestamp(desk.clock.wall()),
        queues=[found[label] for label in desk.queues],
    )
    return QueuesAnswer(success=True, message=f"The {len(found)} queues of {desk.replica}", data=data).response()


async def pause_queue(request: web.Request) -> web.Response:
    """Have no replica receive from a queue from now on; see ``pauses``."""
    desk, services = request.app[DESK], request.app[SERVICES]
    queue = desk.queue_of(request)
    with in_time(services):
        pause = await pauses.pause(services.backend.store, services.backend.bucket, queue.label, now=desk.clock.wall())
    return _paused(desk, queue, pause)


async def resume_queue(request: web.Request) -> web.Response:
    """Have all replicas receive again."""
    desk, services = request.app[DESK], request.app[SERVICES]
    queue = desk.queue_of(request)
    with in_time(services):
        await pauses.resume(services.backend.store, services.backend.bucket, queue.label)
    return _paused(desk, queue, None)


def timestamp(posix_s: float) -> str:
    """Return a time as answers have it."""
    return f"{datetime.fromtimestamp(posix_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _paused(desk: QueueDesk, queue: DeskQueue, pause: Pause | None) -> web.Response:
    since = None if pause is None or pause.since is None else timestamp(pause.since)
    data = QueuePaused(replica=desk.replica, name=queue.label, paused=pause is not None, paused_since=since)
    soon = "Within 20 seconds all replicas"
    message = f"{soon} receive again" if pause is None else f"{soon} receive nothing more"
    return QueuePausedAnswer(success=True, message=message, data=data).response()


async def _queue(queue: DeskQueue, desk: QueueDesk, services: WebServices) -> Queue:
    counts: Counts | None = None
    paused: bool | None = None
    pause: Pause | None = None
    try:
        with in_time(services):
            now = await queue.counts()
        counts = Counts(visible=now.visible, in_flight=now.in_flight, delayed=now.delayed, dead=now.dead)
    except BackendError:
        pass
    try:
        with in_time(services):
            pause = await pauses.read_pause(services.backend.store, services.backend.bucket, queue.label)
        paused = pause is not None
    except BackendError:
        pass
    begins_at, slots = desk.series.of(queue.name).last(desk.clock.wall())
    oldest = total(slots[-_SEEN_S // STEP_S :]).oldest_sent_at
    return Queue(
        name=queue.label,
        counts=counts,
        oldest_seen_at=None if oldest is None else timestamp(oldest),
        paused=paused,
        paused_since=None if pause is None or pause.since is None else timestamp(pause.since),
        dead_letters=queue.backend.dead_letters is not None,
        series=_series(begins_at, slots),
    )


def _series(begins_at: float, slots: Sequence[Slot]) -> EndedSeries:
    waits, works = [slot.wait for slot in slots], [slot.work for slot in slots]
    return EndedSeries(
        begins_at=timestamp(begins_at),
        step_s=STEP_S,
        done=[slot.done for slot in slots],
        failed=[slot.failed for slot in slots],
        retried=[slot.retried for slot in slots],
        wait_p50_s=_quantiles(waits, _MEDIAN),
        wait_p99_s=_quantiles(waits, _P99),
        work_p50_s=_quantiles(works, _MEDIAN),
        work_p99_s=_quantiles(works, _P99),
    )


def _quantiles(histograms: Sequence[Histogram], share: float) -> list[float | None]:
    found = [histogram.quantile_s(share) for histogram in histograms]
    return [None if seconds is None else round(seconds, _DIGITS) for seconds in found]
