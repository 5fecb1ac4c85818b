"""A replica of jobs and callbacks over the local backend, whose endpoints answer as they are told."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import anyio

from support.doubles.clocks import SystemClock
from support.doubles.consuming import Refusing
from support.doubles.rendering import FakeRenderer
from support.patience import until
from thumbq.core import callbackmessage
from thumbq.core.callbackrules import CallbackRules
from thumbq.core.catalog import CatalogInForce
from thumbq.core.links import NO_BASE
from thumbq.errors import NotReached
from thumbq.jobs.resources import make_job_resources
from thumbq.local import open_local_queues
from thumbq.ports import Answered, QueueCounts
from thumbq.settings import Settings
from thumbq.webhooks.handler import CallbackHandler
from thumbq.webhooks.sender import CallbackSender
from thumbq.webhooks.signing import Signer
from thumbq.worker import make_consumers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from thumbq.ports import Backend, Clock, ObjectStore, Renderer
    from thumbq.worker.consumers import Consumers

SECRETS = (f"whsec_{'a' * 32}", f"whsec_{'b' * 32}")
URL = "https://hooks.example.com/thumbnails"
RULES = CallbackRules(
    hosts=("hooks.example.com", "*.hooks.example.com"), ports=(443,), allow_http=False, address_refusal=lambda _: None
)


@dataclass(frozen=True)
class Call:
    """One call: when it came, in the event loop's time, where, and with what."""

    at: float
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def document(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


@dataclass
class Endpoints:
    """Answers calls: each URL its answers in turn, then 200 for ever; a URL in ``dead`` never answers in time."""

    answers: dict[str, list[Answered | NotReached]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    takes_s: float = 0.0
    calls: list[Call] = field(default_factory=list)
    at_once: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_at_once: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def call(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Answered:
        self.calls.append(Call(anyio.current_time(), url, headers, body))
        self.at_once[url] += 1
        self.most_at_once[url] = max(self.most_at_once[url], self.at_once[url])
        try:
            await anyio.sleep(10 if url in self.dead else self.takes_s)
        finally:
            self.at_once[url] -= 1
        if url in self.dead:
            raise NotReached("no answer within 10 s")
        answers = self.answers.get(url)
        answer = answers.pop(0) if answers else Answered(200)
        if isinstance(answer, NotReached):
            raise answer
        return answer


@dataclass(frozen=True)
class Calling:
    """``jobs`` and ``callbacks`` are the queues, over one store, which fails for the replica as ``store`` says."""

    store: Refusing
    jobs: Backend
    callbacks: Backend
    sender: CallbackSender
    consumers: Consumers

    async def settled(self, *, dead: int = 0, within_s: float = 10) -> None:
        """Wait until no callback waits any more."""

        async def empty() -> bool:
            counts = await self.callbacks.queue.counts()
            return counts == QueueCounts(visible=0, in_flight=0, delayed=0, dead=dead)

        await until(empty, within_s=within_s, what="an empty queue of callbacks")


@asynccontextmanager
async def calling(
    directory: Path,
    endpoints: Endpoints,
    renderer: Renderer | None = None,
    *,
    default_url: str | None = None,
) -> AsyncIterator[Calling]:
    clock: Clock = SystemClock()
    settings = Settings(concurrency=4, processes=1)
    async with open_local_queues(directory, clock=clock, queues=("",), callbacks=callbackmessage.ENDING) as opened:
        jobs, callbacks = opened
        sender = CallbackSender(
            callbacks.queue, callbacks.store, RULES, default_url, CatalogInForce(settings.catalog), NO_BASE
        )
        store = Refusing(jobs.store, lambda *_: None)
        resources = make_job_resources(
            backend=replace(jobs, store=cast("ObjectStore", store)),
            renderer=renderer or FakeRenderer(),
            settings=settings,
            clock=clock,
            announcers=[sender],
        )
        generator = random.Random(1)
        handler = CallbackHandler(resources, caller=endpoints, rules=RULES, signer=Signer(SECRETS), random=generator)
        consumers = make_consumers(
            [(settings.queue_configs[0], jobs, await jobs.queue.attributes())],
            resources=resources,
            settings=settings,
            random=generator,
            callbacks=(callbacks, handler),
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consumers.run)
            yield Calling(store, jobs, callbacks, sender, consumers)
            consumers.stop()
