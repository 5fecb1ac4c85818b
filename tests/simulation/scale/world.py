"""A world of many replicas under load: uploads of many tenants, a crowd of messages of one tenant's, until all is done.

The replicas are the real intake and consumer, each with two render processes. Nothing fails but what S3 refuses.
"""

from __future__ import annotations

import asyncio
import gc
import math
import random
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio

from simulation.model import EPOCH
from simulation.rendering import image
from simulation.scale.outcome import LOUD, Outcome, Waited
from simulation.scale.services import Shared
from simulation.services import BUCKET
from simulation.virtualloop import VirtualLoop
from support.doubles.rendering import FakeRenderer, pictures
from thumbq.core import keys, message
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.manifest import Manifest
from thumbq.core.uploadoptions import UploadOptions
from thumbq.errors import BackendError
from thumbq.intake.uploads import UploadIntake
from thumbq.jobs.resources import make_job_resources
from thumbq.settings import Settings
from thumbq.worker import make_consumer
from thumbq.worker.backlogs import Backlogs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulation.scale.partitions import Partitions
    from thumbq.core.preset import Preset
    from thumbq.ports import Rendered
    from thumbq.worker import Consumer

RENDER_S: Final = 0.023
"""Of a web page's mix (docs/scale.md, "Replicas")."""

SETTINGS: Final = Settings(processes=2)
TENANTS: Final = 20

_BEGINS_S: Final = 0.5
"""When the uploads begin: the replicas receive by then."""

_REST_S: Final = 3.0
"""All of a round is done by then, unless S3 refuses it."""

_MAX_TURNS: Final = 10**9
_MAX_TIME_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Load:
    """What comes: in each round uploads for a second, amid it a crowd of one tenant's messages at once, then a rest.

    A crowd has half as many as the uploads of the second.
    """

    replicas: int
    a_second: int
    rounds: int = 1
    key_prefixes: int = 1
    with_tenants: bool = True
    """Whether messages say whose they are."""
    seed: int = 1


class _Clock:
    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.now

    def wall(self) -> float:
        return EPOCH + self._loop.now


class _Renderer(FakeRenderer):
    """Renders that take as long as those of a web page's pictures."""

    def __init__(self, draw: random.Random) -> None:
        super().__init__(processes=SETTINGS.processes)
        self._draw = draw

    async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
        del original
        await asyncio.sleep(RENDER_S * self._draw.uniform(0.5, 1.5))
        return pictures(presets)


class _Replica:
    """The real intake and consumer over the world's services."""

    def __init__(self, world: World, number: int) -> None:
        self._draw = random.Random(f"{world.load.seed} {number}")
        self._clock = _Clock(world.loop)
        self._backend = world.shared.backend(self._clock)
        self._stop = anyio.Event()
        self.intake = UploadIntake(
            backend=self._backend, clock=self._clock, random=self._draw, key_prefixes=world.load.key_prefixes
        )
        self.task = world.loop.create_task(self._main())

    def stop(self) -> None:
        self._stop.set()

    async def _main(self) -> None:
        consumer = await self._consumer()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consumer.run)
            await self._stop.wait()
            consumer.stop()

    async def _consumer(self) -> Consumer:
        renderer = _Renderer(self._draw)
        return make_consumer(
            backend=self._backend,
            resources=make_job_resources(
                backend=self._backend, renderer=renderer, settings=SETTINGS, clock=self._clock
            ),
            settings=SETTINGS,
            config=SETTINGS.queue_configs[0],
            attributes=await self._backend.queue.attributes(),
            backlogs=Backlogs(),
            random=self._draw,
        )


class World:
    """One run."""

    def __init__(self, load: Load, partitions: Partitions) -> None:
        self.load = load
        self.loop = VirtualLoop(max_turns=_MAX_TURNS, max_time_s=_MAX_TIME_S)
        self.shared = Shared(self.loop, random.Random(f"{load.seed} services"), partitions)
        self._draw = random.Random(load.seed)
        self._tenant_of: dict[str, str] = {}
        self._sent_at: dict[str, float] = {}
        self._refused = 0
        self._first_crowd_at = math.inf

    def run(self) -> Outcome:
        """Live through the run."""
        try:
            with _without_collections():
                return self.loop.run_until_complete(self._live())
        finally:
            self.loop.close()

    async def _live(self) -> Outcome:
        replicas = [_Replica(self, number) for number in range(self.load.replicas)]
        await asyncio.sleep(_BEGINS_S)
        clients: list[asyncio.Task[Any]] = []
        for number in range(self.load.rounds):
            await asyncio.sleep(_REST_S if number else 0)
            ends_at = self.loop.now + 1
            self.loop.world_later(0.5, self._send_crowd)
            while self.loop.now < ends_at:
                await asyncio.sleep(self._draw.expovariate(self.load.a_second))
                clients.append(self.loop.create_task(self._upload(replicas, len(clients))))
        await asyncio.gather(*clients)
        while len(self.shared.done_at) < len(self._sent_at):
            await asyncio.sleep(0.05)
            for replica in replicas:
                assert not replica.task.done() or replica.task.result()
        for replica in replicas:
            replica.stop()
        await asyncio.gather(*(replica.task for replica in replicas))
        return self._outcome()

    async def _upload(self, replicas: Sequence[_Replica], number: int) -> None:
        """Upload an image of some tenant's to some replica, and again a second or two later while it is refused."""
        tenant = f"tenant-{self._draw.randrange(TENANTS)}"
        options = UploadOptions(tenant=tenant if self.load.with_tenants else None)
        while True:
            intake = self._draw.choice(replicas).intake
            try:
                accepted = await intake.accept(image("good", number), filename=None, options=options, within_s=20)
            except BackendError:
                self._refused += 1
                await asyncio.sleep(1 + self._draw.random())
            else:
                self._note(accepted.source.key, tenant)
                return

    def _send_crowd(self) -> None:
        """Store what one tenant brings at once, and send its messages: not through a replica."""
        self._first_crowd_at = min(self._first_crowd_at, self.loop.now)
        now_ms = int((EPOCH + self.loop.now) * 1000)
        for number in range(self.load.a_second // 2):
            new_id = keys.new_id(now_ms, self._draw.getrandbits(80), self.load.key_prefixes)
            source = ObjectRef(BUCKET, keys.upload_key(new_id))
            self.shared.s3.put(source, image("good", number), "image/jpeg", None, if_absent=True)
            self.shared.queue.send(message.encode(JobRequest(source)), LOUD if self.load.with_tenants else "")
            self._note(source.key, LOUD)

    def _note(self, key: str, tenant: str) -> None:
        self._tenant_of[key] = tenant
        self._sent_at[key] = self.loop.now

    def _outcome(self) -> Outcome:
        shared = self.shared
        done_at = {key: shared.done_at[keys.manifest_key(key)] for key in self._sent_at}
        lost = [key for key in self._sent_at if not self._is_done(key)]
        return Outcome(
            requests=shared.requests,
            waited=[Waited(self._tenant_of[key], sent_at, done_at[key]) for key, sent_at in self._sent_at.items()],
            lost=[*lost, *shared.queue.bodies(), *shared.dead.bodies()],
            refused=self._refused,
            first_crowd_at=self._first_crowd_at,
            jobs_a_second=self.load.replicas * SETTINGS.processes / RENDER_S,
            most_in_flight=shared.queue.most_in_flight,
        )

    def _is_done(self, key: str) -> bool:
        objects = self.shared.s3.objects
        record = Manifest.decode(objects[BUCKET, keys.manifest_key(key)].body)
        if record is None or record.status != "done" or not record.renditions:
            return False
        return all((each.bucket, each.key) in objects for each in record.renditions.values())


@contextmanager
def _without_collections() -> Iterator[None]:
    """Leave garbage alone: what tens of thousands of messages have in memory is gone through again and again else."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
