"""What `thumbq status` does: it counts the messages of each queue, time and again, and asks a replica how it is."""

from __future__ import annotations

from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import anyio

from thumbq.backends import open_existing
from thumbq.errors import BackendError, Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from thumbq.ports import Backend, Clock, QueueCounts
    from thumbq.settings import Settings

_KEPT: Final = 60
"""How many looks there is a history of."""
_ANSWER_S: Final = 10.0
_BARS: Final = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """A queue: its counts (None while it does not answer) and what there is of them in time.

    ``change_per_s`` is how its messages have grown or shrunk since the first look that is kept, None at the first one;
    ``backlog`` is the number of messages at each of these looks, the latest last.
    """

    name: str
    counts: QueueCounts | None
    change_per_s: float | None
    backlog: Sequence[int]


@dataclass(frozen=True, slots=True)
class Status:
    """One look at all queues, and at a replica if one is named: what it answers, by its paths."""

    at: str
    queues: Sequence[QueueStatus]
    replica: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica to ask: the URL before ``/readyz``, and a token if it wants one."""

    url: str
    token: str | None = None


class History:
    """The latest counts of one queue."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque(maxlen=_KEPT)

    def add(self, at: float, counts: QueueCounts) -> None:
        """Add a look; ``at`` is monotonic seconds."""
        self._looks.append((at, counts.visible + counts.in_flight + counts.delayed))

    @property
    def backlog(self) -> Sequence[int]:
        """The number of messages at each look."""
        return [number for _, number in self._looks]

    @property
    def change_per_s(self) -> float | None:
        """How the number has changed from the first look to the last one."""
        (first_at, first), (last_at, last) = (self._looks or [(0.0, 0)])[0], (self._looks or [(0.0, 0)])[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else None


async def statuses(
    settings: Settings, replica: Replica | None, *, clock: Clock, every_s: float
) -> AsyncGenerator[Status, None]:
    """Yield a look, and another one each ``every_s`` seconds, without end.

    With a replica the settings need to name no queue. Raises SetupError for a place that is not there, for a URL that
    is none, and for a token that the replica refuses.
    """
    async with AsyncExitStack() as stack:
        backends: Sequence[Backend] = ()
        if replica is None or settings.local is not None or settings.bucket is not None:
            backends = await stack.enter_async_context(open_existing(settings))
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        names = [config.label for config in settings.opened_queues]
        histories = [History() for _ in names]
        while True:
            queues = [
                await _look(name, backend, history, clock)
                for name, backend, history in zip(names, backends, histories, strict=False)
            ]
            asked = None if replica is None else await _ask(session, replica)
            yield Status(f"{datetime.fromtimestamp(clock.wall(), UTC):%Y-%m-%dT%H:%M:%SZ}", queues, asked)
            await anyio.sleep(every_s)


async def _look(name: str, backend: Backend, history: History, clock: Clock) -> QueueStatus:
    try:
        counts = await backend.queue.counts()
    except BackendError:
        return QueueStatus(name, None, None, history.backlog)
    history.add(clock.monotonic(), counts)
    return QueueStatus(name, counts, history.change_per_s, history.backlog)


async def _ask(session: aiohttp.ClientSession, replica: Replica) -> dict[str, Any]:
    """Ask a replica whether it is ready, and what it knows of its queues where it tells that."""
    url = replica.url.rstrip("/")
    headers = {} if replica.token is None else {"Authorization": f"Bearer {replica.token}"}
    found: dict[str, Any] = {"url": url}
    for path in ("/readyz", "/queues"):
        try:
            async with session.get(f"{url}{path}", headers=headers, allow_redirects=False) as answer:
                if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                    what = f"{url}{path} is answered {answer.status}: the token is not enough"
                    raise SetupError(
                        [Problem(what, "name the file of a token with the scope admin: --token-file FILE")]
                    )
                if answer.status != HTTPStatus.NOT_FOUND:
                    said = await answer.json(content_type=None)
                    found[path] = said if isinstance(said, dict) else {"error": "the answer is not thumbq's"}
        except aiohttp.InvalidURL as error:
            what = f"--url {replica.url} is no URL"
            raise SetupError([Problem(what, "name one such as http://127.0.0.1:8080")]) from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            found[path] = {"error": str(error) or type(error).__name__}
    return found


def squeezed(values: Sequence[float], room: int) -> Sequence[float]:
    """Return numbers that are counted step by step as so many at the most: of longer steps, the oldest may be short."""
    step = -(-len(values) // max(room, 1)) or 1
    ends = range(len(values), 0, -step)
    return [sum(values[max(end - step, 0) : end]) for end in ends][::-1]


def sparkline(values: Sequence[float]) -> str:
    """Return numbers as bars, of which the highest is the largest number."""
    most = max(values, default=0)
    return "".join(_BARS[min(7, int(value * 7 / most + 0.5))] if most > 0 else _BARS[0] for value in values)
