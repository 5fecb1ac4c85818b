"""The way from a replica to the services and back: requests take time, get lost, fail, and come twice."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from thumbq.errors import BackendError, BackendRefused, BackendUnavailable, ThumbqError

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulation.model import SqsModel
    from simulation.replica import Replica

T = TypeVar("T")

POLL_SLACK_S: Final = 10.0
"""How much longer than its wait the adapter lets a long poll hang."""

_SAYS_NO: Final = ("bad-request", "refused-for-all")
"""Answered with a refusal, as by a 400: certainly not carried out."""

_REFUSED: Final = ("refused", "throttled", *_SAYS_NO)
_FATES: Final = ("refused", "throttled", "bad-request", "request-lost", "answer-lost")


class _Request(Generic[T]):
    """A request on its way. Once it has left it is carried out, whatever becomes of its sender."""

    def __init__(self, network: Network, what: str, do: Callable[[], T], *, again: bool) -> None:
        self._network = network
        self._what = what
        self._do = do
        self._again = again
        self._answered = True
        self._back_s = 0.0
        self._under_way = False
        self.answer: asyncio.Future[T] = network.loop.create_future()

    def leave(self, there_s: float, back_s: float, *, answered: bool) -> None:
        """Set out for the service; ``answered`` says whether the answer finds the way back."""
        self._back_s, self._answered, self._under_way = back_s, answered, True
        self._network.loop.world_later(there_s, self._arrive)

    def forget(self) -> None:
        """Let it be lost if it has not arrived yet."""
        self._under_way = False

    def _arrive(self) -> None:
        if not self._under_way:
            return
        self._under_way = False
        if self.answer.done() or self._network.replica.process.dead:
            self._network.world.ledger.unsure.add(self._what)
            self._network.world.ledger.late.add(self._what)
        loop = self._network.loop
        try:
            result = self._do()
            if self._again and self._network.world.faults.hit("sent-twice"):
                result = self._do()
        except ThumbqError as error:
            loop.world_later(self._back_s, _raise, self.answer, error)
        else:
            if self._answered:
                loop.world_later(self._back_s, _resolve, self.answer, result)


class Network:
    """The way of one replica's requests."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.world = replica.world
        self.loop = replica.world.loop
        self._faults = replica.world.faults
        self._random = replica.world.random

    async def ask(
        self, services: tuple[str, ...], what: str, bound_s: float, do: Callable[[], T], *, again: bool = True
    ) -> T:
        """Have a service do something. Raises BackendUnavailable after ``bound_s`` at the latest, as adapters do."""
        await self._perhaps_die_before(what, do)
        there_s, back_s = self.world.latency_s(), self.world.latency_s()
        if self._faults.hit("slow-answer"):
            slow_s = bound_s * self._random.random()
            there_s, back_s = self._random.choice([(slow_s, back_s), (there_s, slow_s)])
        fate = self._fate(services)
        if fate is None and "beats" in services and self._faults.hit("slow-then-away"):
            back_s = self._random.uniform(0.3, 0.95)
            away_for_s = 1.2 * self.world.shape.settings.visibility_timeout_s
            self._faults.go_away("beats", self.loop.now + there_s + back_s, away_for_s)
        if fate is None and there_s + back_s > bound_s:
            fate = "answer-lost"
        request = _Request(self, what, do, again=again)
        if fate is not None:
            after_s = there_s if fate in _REFUSED else self._random.choice([there_s, bound_s])
            self.loop.world_later(after_s, _raise, request.answer, _error(fate, what))
        if fate is None or fate == "answer-lost":
            request.leave(there_s, back_s, answered=fate is None)
        try:
            return await self._arrived(request.answer)
        except asyncio.CancelledError:
            if self._random.random() < 0.5:
                request.forget()
            raise

    async def poll(self, queue: SqsModel[T], max_messages: int, wait_s: int, timeout_s: int) -> list[T]:
        """Receive. Nobody gets the messages of an answer that is lost, nor of a poll whose sender has gone."""
        answer: asyncio.Future[list[T]] = self.loop.create_future()
        fate = self._fate(("queue",))
        slow = self._faults.hit("slow-answer")
        back_s = self._random.uniform(0, POLL_SLACK_S) if slow else self.world.latency_s()

        def reply(messages: list[T]) -> None:
            if fate is None:
                self.loop.world_later(back_s, _resolve, answer, messages)

        if fate in _REFUSED:
            self.loop.world_later(self.world.latency_s(), _raise, answer, _error(fate, "receive"))
        else:
            self.loop.world_later(wait_s + POLL_SLACK_S, _raise, answer, _error("no answer", "receive"))
        if fate is None or fate == "answer-lost":
            self.loop.world_later(self.world.latency_s(), queue.poll, max_messages, wait_s, timeout_s, reply)
        return await self._arrived(answer)

    async def _perhaps_die_before(self, what: str, do: Callable[[], object]) -> None:
        if not self.world.may_kill() or not self._faults.hit("killed-at-a-request"):
            return
        if self._random.random() < 0.5:
            self.world.ledger.unsure.add(what)
            self.loop.world_later(self.world.latency_s(), _carry_out, do)
        self.replica.kill()
        await self.loop.create_future()

    async def _arrived(self, answer: asyncio.Future[T]) -> T:
        result = await answer
        if self.world.may_kill() and self._faults.hit("killed-at-an-answer"):
            self.replica.kill()
            await self.loop.create_future()
        return result

    def _fate(self, services: tuple[str, ...]) -> str | None:
        how = self._faults.away(*services)
        if how is not None:
            return how if how in _SAYS_NO else self._random.choice(["refused", "refused", "request-lost"])
        return next((fate for fate in _FATES if self._faults.hit(fate)), None)


def _carry_out(do: Callable[[], object]) -> None:
    with suppress(ThumbqError):
        do()


def _resolve(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _error(fate: str | None, what: str) -> BackendError:
    return (BackendRefused if fate in _SAYS_NO else BackendUnavailable)(f"{what}: {fate}")


def _raise(future: asyncio.Future[object], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
