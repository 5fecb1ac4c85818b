"""A dead-letter queue in memory, for what takes minutes or needs a server that fails."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from thumbq.ports import DeadLetter, EntryResult, MoveProgress, QueueCounts, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(slots=True)
class _Row:
    id: str
    body: str
    note: str | None
    visible_at: float = 0.0
    receipt: str = ""


class DeadQueue:
    """DeadLetters in memory; every request takes ``request_s`` seconds."""

    max_bytes = 1 << 20

    def __init__(self, number: int = 0, *, request_s: float = 0.0) -> None:
        self.rows = {f"letter-{index}": _Row(f"letter-{index}", f"uploads/{index}", None) for index in range(number)}
        self.request_s = request_s
        self.receives = 0
        self.given_back: list[str] = []
        self.late: list[str] = []
        """Receipts that were given back after their hold was over."""
        self.refuses_deletes = False
        self.moves: deque[MoveProgress] = deque()
        self._order = deque(self.rows)

    async def send(self, body: str, note: str, *, group: str | None = None) -> None:  # noqa: ARG002 - the port's
        self.rows[body] = _Row(body, body, note)
        self._order.append(body)

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[DeadLetter]:
        self.receives += 1
        await anyio.sleep(self.request_s)
        now = anyio.current_time()
        taken: list[DeadLetter] = []
        for _ in range(len(self._order)):
            if len(taken) == max_messages:
                break
            name = self._order.popleft()
            row = self.rows.get(name)
            if row is None:
                continue
            self._order.append(name)
            if row.visible_at <= now:
                row.visible_at, row.receipt = now + visibility_timeout_s, f"{name}@{now}#{self.receives}"
                taken.append(DeadLetter(row.id, row.receipt, row.body, row.note, 0.0, 1))
        if not taken:
            await anyio.sleep(wait_s)
        return taken

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        await anyio.sleep(self.request_s)
        for change in changes:
            row = self._row(change.receipt)
            if row is None or row.visible_at <= anyio.current_time():
                self.late.append(change.receipt)
            else:
                row.visible_at = anyio.current_time() + change.timeout_s
                self.given_back.append(row.id)
        return [EntryResult.OK for _ in changes]

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        await anyio.sleep(self.request_s)
        if self.refuses_deletes:
            return [EntryResult.RETRY for _ in receipts]
        for receipt in receipts:
            if (row := self._row(receipt)) is not None:
                del self.rows[row.id]
        return [EntryResult.OK for _ in receipts]

    async def purge(self) -> None:
        self.rows.clear()

    async def start_move(self, *, rate: int | None) -> str | None:
        del rate
        return "move" if self.moves else None

    async def move_progress(self, handle: str) -> MoveProgress:
        assert handle == "move"
        return self.moves.popleft()

    def hidden(self) -> list[str]:
        return [row.id for row in self.rows.values() if row.visible_at > anyio.current_time()]

    def _row(self, receipt: str) -> _Row | None:
        row = self.rows.get(receipt.partition("@")[0])
        return row if row is not None and row.receipt == receipt else None


class Queue:
    """The part of a JobQueue that a redrive needs; ``fails`` says what becomes of a body, before it is sent."""

    def __init__(self, dead: DeadQueue, fails: Callable[[str], Exception | None] = lambda _: None) -> None:
        self._dead = dead
        self._fails = fails
        self.sent: list[tuple[float, str]] = []
        self.tried: Counter[str] = Counter()

    async def send(self, body: str, *, group: str | None = None) -> str:  # noqa: ARG002 - the port's
        self.tried[body] += 1
        if (error := self._fails(body)) is not None:
            raise error
        await anyio.sleep(self._dead.request_s)
        self.sent.append((anyio.current_time(), body))
        return f"message-{len(self.sent)}"

    @property
    def bodies(self) -> list[str]:
        return [body for _, body in self.sent]

    async def counts(self) -> QueueCounts:
        return QueueCounts(0, 0, 0, dead=len(self._dead.rows))
