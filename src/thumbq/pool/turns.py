"""Who gets a child next: renders wait for one, each in its queue; see core/fairness.py for whose turn it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from thumbq.core.fairness import Waiting
from thumbq.errors import RenderUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.pool.member import Member


class Turns:
    """The members that have nothing to do, and the renders that wait for one (never both)."""

    def __init__(self, queues: Mapping[str, int | None]) -> None:
        self._idle: list[Member] = []
        self._waiting: Waiting[asyncio.Future[Member]] = Waiting(queues)

    async def take(self, queue: str) -> Member:
        """Wait for a member. It may have died since it was put here."""
        if self._idle:
            return self._idle.pop()
        turn: asyncio.Future[Member] = asyncio.get_running_loop().create_future()
        self._waiting.add(queue, turn)
        try:
            return await asyncio.shield(turn)
        except asyncio.CancelledError:
            if not turn.done():
                self._waiting.remove(queue, turn)
            elif turn.exception() is None:
                self.put(turn.result())
            raise

    def put(self, member: Member) -> None:
        """Give a member to the render whose turn it is, or keep it for the next one."""
        if member.leaving:
            member.over.set()
        if member.over.is_set():
            return
        if self._waiting:
            self._waiting.pop().set_result(member)
        else:
            self._idle.append(member)

    def withdraw(self, member: Member) -> bool:
        """Take a member out of here, and say whether it was here."""
        if member in self._idle:
            self._idle.remove(member)
            return True
        return False

    def refuse(self, text: str) -> None:
        """Raise RenderUnavailable in all renders that wait."""
        while self._waiting:
            self._waiting.pop().set_exception(RenderUnavailable(text))
