"""A standard queue of SQS with tenants, for many messages and many receivers.

Sources: Amazon SQS Developer Guide, "How Amazon SQS fair queues work" (a tenant is noisy with more than a tenth of what
is in flight, and 30 messages at the least, or with more than a tenth of the time that was spent on messages of late;
those of others come first then) and "Quotas related to messages" (120,000 in flight). How long "of late" is it does not
say.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict, deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from simulation.model import EPOCH
from thumbq.ports import EntryResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from simulation.virtualloop import VirtualLoop

T = TypeVar("T")

MAX_IN_FLIGHT: Final = 120_000
_NOISY_SHARE: Final = 0.1
_NOISY_MESSAGES: Final = 30
_OF_LATE_S: Final = 10.0
"""What was spent so long ago counts for a third of what is spent now."""


@dataclass(eq=False, slots=True)
class QueuedMessage:
    """A message; times are the world's."""

    id: str
    body: str
    note: str | None
    tenant: str
    sent_at: float
    receive_count: int = 0
    receipt: str = ""
    received_at: float = 0.0
    hidden_until: float | None = None
    """While it is in flight."""

    @property
    def sent_at_wall(self) -> float:
        """POSIX seconds."""
        return EPOCH + self.sent_at


@dataclass(slots=True)
class _Tenant:
    visible: deque[QueuedMessage] = field(default_factory=deque)
    in_flight: int = 0
    spent: float = 0.0
    """How long its messages were in flight, later ones with more weight."""


@dataclass(eq=False, slots=True)
class _Poller(Generic[T]):
    max_messages: int
    timeout_s: int
    answer: Callable[[list[T]], None]


class FairQueue(Generic[T]):
    """The queue. ``as_received`` makes of a message what a receiver gets."""

    def __init__(self, loop: VirtualLoop, random: Random, as_received: Callable[[QueuedMessage], T]) -> None:
        self._loop = loop
        self._random = random
        self._as_received = as_received
        self._tenants: defaultdict[str, _Tenant] = defaultdict(_Tenant)
        self._waiting: dict[str, _Tenant] = {}
        """Those with messages that are visible."""
        self._receipts: dict[str, QueuedMessage] = {}
        self._hidden: list[tuple[float, int, QueuedMessage]] = []
        self._pollers: list[_Poller[T]] = []
        self._serials = count(1)
        self._messages: dict[str, QueuedMessage] = {}
        self._spent = 0.0
        self.in_flight = 0
        self.most_in_flight = 0

    def send(self, body: str, tenant: str = "", note: str | None = None) -> str:
        """Take a message; without a tenant it is one of its own."""
        message_id = f"m{next(self._serials)}"
        message = QueuedMessage(message_id, body, note, tenant or message_id, self._loop.now)
        self._messages[message_id] = message
        self._show(message)
        self._look()
        return message_id

    def __len__(self) -> int:
        return len(self._messages)

    def bodies(self) -> list[str]:
        """Return the bodies of the messages that are not deleted."""
        return [message.body for message in self._messages.values()]

    def poll(self, max_messages: int, wait_s: float, timeout_s: int, answer: Callable[[list[T]], None]) -> None:
        """Answer with messages once there are some, or with none after ``wait_s``."""
        poller = _Poller(max_messages, timeout_s, answer)
        self._pollers.append(poller)
        self._look()
        self._loop.world_later(wait_s, self._end, poller)

    def extend(self, receipt: str, timeout_s: int) -> EntryResult:
        message = self._receipts.get(receipt)
        if message is None or message.hidden_until is None:
            return EntryResult.LOST
        self._hide(message, timeout_s)
        return EntryResult.OK

    def delete(self, receipt: str) -> EntryResult:
        message = self._receipts.pop(receipt, None)
        if message is not None and message.hidden_until is not None:
            self._land(message)
            del self._messages[message.id]
        return EntryResult.OK

    def _end(self, poller: _Poller[T]) -> None:
        if poller in self._pollers:
            self._pollers.remove(poller)
            poller.answer([])

    def _look(self) -> None:
        while self._pollers and self._waiting and self.in_flight < MAX_IN_FLIGHT:
            poller = self._pollers.pop(self._random.randrange(len(self._pollers)))
            taken: list[T] = []
            while len(taken) < poller.max_messages and self._waiting and self.in_flight < MAX_IN_FLIGHT:
                taken.append(self._hand_out(self._next(), poller.timeout_s))
            poller.answer(taken)

    def _next(self) -> QueuedMessage:
        """Take the oldest message of the quiet tenants; of the noisy ones when those have none."""
        many, long = max(_NOISY_MESSAGES, _NOISY_SHARE * self.in_flight + 1), _NOISY_SHARE * self._spent

        def turn(item: tuple[str, _Tenant]) -> tuple[bool, float]:
            tenant = item[1]
            return tenant.in_flight >= many or tenant.spent > long, tenant.visible[0].sent_at

        name, tenant = min(self._waiting.items(), key=turn)
        message = tenant.visible.popleft()
        if not tenant.visible:
            del self._waiting[name]
        return message

    def _hand_out(self, message: QueuedMessage, timeout_s: int) -> T:
        self._receipts.pop(message.receipt, None)
        message.receipt = f"{message.id}#{next(self._serials)}"
        message.receive_count += 1
        message.received_at = self._loop.now
        self._receipts[message.receipt] = message
        self._tenants[message.tenant].in_flight += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self._hide(message, timeout_s)
        return self._as_received(message)

    def _hide(self, message: QueuedMessage, timeout_s: int) -> None:
        message.hidden_until = self._loop.now + timeout_s
        heapq.heappush(self._hidden, (message.hidden_until, next(self._serials), message))
        self._loop.world_later(timeout_s, self._reappear)

    def _reappear(self) -> None:
        while self._hidden and self._hidden[0][0] <= self._loop.now:
            until, _, message = heapq.heappop(self._hidden)
            if message.hidden_until == until:
                self._land(message)
                self._show(message)
        self._look()

    def _land(self, message: QueuedMessage) -> None:
        message.hidden_until = None
        tenant = self._tenants[message.tenant]
        tenant.in_flight -= 1
        self.in_flight -= 1
        spent = (self._loop.now - message.received_at) * math.exp(self._loop.now / _OF_LATE_S)
        tenant.spent += spent
        self._spent += spent

    def _show(self, message: QueuedMessage) -> None:
        tenant = self._tenants[message.tenant]
        if message.receive_count:
            tenant.visible.appendleft(message)
        else:
            tenant.visible.append(message)
        self._waiting[message.tenant] = tenant
