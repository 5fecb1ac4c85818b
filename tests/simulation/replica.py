"""One replica: the real consumer and intake, over simulated services, clocks, renders and signals."""

from __future__ import annotations

import contextvars
import random
from typing import TYPE_CHECKING, Final

import anyio

from simulation.model import EPOCH
from simulation.rendering import PRESETS, RenderModel
from simulation.virtualloop import PROCESS, Process
from simulation.watched import watched
from thumbq.core.catalog import CatalogInForce
from thumbq.deletion.deleting import JobDeleter
from thumbq.deletion.tombstones import Tombstones
from thumbq.intake.claims import Claims
from thumbq.intake.uploads import UploadIntake
from thumbq.jobs.resources import make_job_resources
from thumbq.service import KILL_RESERVE_S
from thumbq.worker import make_consumer
from thumbq.worker.backlogs import Backlogs

if TYPE_CHECKING:
    import asyncio

    from simulation.referee import Hold
    from simulation.world import World
    from thumbq.worker import Consumer

_STOP_SLACK_S: Final = 0.5


class SkewedClock:
    """A replica's clocks: the monotonic one runs at a rate of its own, the wall clock is set now and then."""

    def __init__(self, world: World) -> None:
        self._loop = world.loop
        self._offset = world.random.uniform(0, 1e5)
        self._rate = 1.0 + world.random.choice([0.0, 0.0, 5e-5, -5e-5])
        self.wall_offset = 0.0

    def monotonic(self) -> float:
        return self._offset + self._rate * self._loop.now

    def wall(self) -> float:
        return EPOCH + self._loop.now + self.wall_offset


class Replica:
    """A process that serves until it is stopped or killed."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.process = Process(name)
        self.clock = SkewedClock(world)
        self.thawed_at = 0.0
        self.aborted_at: float | None = None
        self.quarantined: list[Hold] = []
        self.stopping = False
        self.store_away = False
        """Whether the last probe that came to an end has failed."""
        self._stop = anyio.Event()
        self._disturbed = False
        draw = world.random.getrandbits
        shape = world.shape
        self.backend = watched(self, world.services.backend(self))
        self.renderer = RenderModel(
            self, random.Random(draw(32)), processes=shape.settings.processes, timeout_s=shape.render_timeout_s
        )
        seeds = random.Random(f"{world.seed} {name}")
        spread = seeds.choice([1, 1, 4])
        self.intake = UploadIntake(
            backend=self.backend,
            clock=self.clock,
            random=random.Random(draw(32)),
            presets=PRESETS,
            key_prefixes=spread,
        )
        self.claims = Claims(self.backend.store, self.backend.bucket, self.clock, seeds, key_prefixes=spread)
        tombstones = Tombstones(
            self.backend.store, self.backend.bucket, CatalogInForce(shape.settings.catalog), self.clock
        )
        self.deleter = JobDeleter(tombstones, [self.backend])
        self._random = random.Random(draw(32))
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self.process)
        self.task: asyncio.Task[None] = world.loop.create_task(self._main(), name=name, context=self.context)

    @property
    def serving(self) -> bool:
        return not (self.process.dead or self.stopping)

    def is_quarantined(self) -> bool:
        """Whether the job that is running here now is known to have killed a render."""
        return self.world.ledger.is_quarantined(self.world.referee.about(self))

    def stop(self) -> None:
        """Send SIGTERM."""
        self.stopping = True
        self._stop.set()

    def kill(self) -> None:
        """Send SIGKILL: nothing of the process runs from now on."""
        self.world.killed(self)
        self.process.dead = True

    def freeze(self) -> None:
        """Let nothing run, as SIGSTOP does; all clocks go on."""
        self._disturbed = True
        self.world.loop.freeze(self.process)

    def thaw(self, *, suspended_s: float) -> None:
        """Let it go on; while a machine sleeps, the event loop's time stands still and the lease's does not."""
        self.thawed_at = self.clock.monotonic()
        self.world.loop.thaw(self.process, suspended_s=suspended_s)

    async def _main(self) -> None:
        settings = self.world.shape.settings
        consumer = make_consumer(
            backend=self.backend,
            resources=make_job_resources(
                backend=self.backend, renderer=self.renderer, settings=settings, clock=self.clock
            ),
            settings=settings,
            config=settings.queue_configs[0],
            attributes=await self.backend.queue.attributes(),
            backlogs=Backlogs(),
            random=self._random,
        )
        drained = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._consume, consumer, drained)
            await self._stop.wait()
            started = anyio.current_time()
            await self._drain(consumer, drained)
            tasks.cancel_scope.cancel()
        took_s = anyio.current_time() - started
        if took_s > self.world.shape.settings.shutdown_deadline_s + _STOP_SLACK_S and not self._disturbed:
            self.world.referee.violated(f"the stop of {self.name} took {took_s:.1f} s")
        self.world.stopped(self)

    async def _consume(self, consumer: Consumer, drained: anyio.Event) -> None:
        await consumer.run()
        drained.set()

    async def _drain(self, consumer: Consumer, drained: anyio.Event) -> None:
        """Do as service.Service does at a signal."""
        deadline = anyio.current_time() + self.world.shape.settings.shutdown_deadline_s
        consumer.stop()
        with anyio.move_on_at(deadline - KILL_RESERVE_S):
            await drained.wait()
        if not drained.is_set():
            self.aborted_at = self.clock.monotonic()
            consumer.abort(within_s=KILL_RESERVE_S / 2)
            with anyio.move_on_after(KILL_RESERVE_S / 2):
                await drained.wait()
