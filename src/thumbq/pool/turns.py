"""Who gets a child next: renders wait for one, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from thumbq.errors import RenderUnavailable

if TYPE_CHECKING:
    from thumbq.pool.member import Member


class Turns:
    """The members that have nothing to do, and the renders that wait for one (never both)."""

    def __init__(self) -> None:
        self._idle: list[Member] = []
        self._waiting: deque[asyncio.Future[Member]] = deque()

    async def take(self) -> Member:
        """Wait for a member. It may have died since it was put here."""
        if self._idle:
            return self._idle.pop()
        turn: asyncio.Future[Member] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.put(turn.result())
            raise

    def put(self, member: Member) -> None:
        """Give a member to the render that has waited longest, or keep it for the next one."""
        if member.leaving:
            member.over.set()
        if member.over.is_set():
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(member)
                return
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
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(RenderUnavailable(text))
