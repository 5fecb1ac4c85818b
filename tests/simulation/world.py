"""The world of one run: uploads, replicas and what befalls them, drawn from one seed, until all is settled."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from simulation.deletions import WALL_CLOCKS_APART_S, delete_job
from simulation.faults import Faults
from simulation.ledger import Ledger
from simulation.leftovers import Tasks
from simulation.local import LocalServices
from simulation.pictures import store_pictures
from simulation.referee import Referee, Violation
from simulation.rendering import image, presets_of
from simulation.replica import Replica
from simulation.services import ModelServices, Services
from simulation.shape import draw_shape
from simulation.virtualloop import Stuck, VirtualLoop, same_order_every_time
from thumbq.core import keys
from thumbq.core.uploadoptions import UploadOptions
from thumbq.errors import BackendError, KeyNotFree
from thumbq.intake.keyedupload import Key, KeyedUpload, digest_of

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Coroutine

    from thumbq.intake.uploads import Accepted

MAX_TURNS: Final = 600_000
MAX_TURNS_OF_HOURS: Final = 2_000_000
MAX_TIME_S: Final = 200_000.0
SETTLE_WITHIN_S: Final = 9_000.0
MAX_KILLS: Final = 6

STRANGE: Final = ('{"key": ', "thumbnail/of-our-own.jpg", "uploads/not-there", '{"bucket": "other", "key": "k"}')
"""Messages that no upload sent."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went."""

    seed: int
    violation: str | None
    seen: Counter[str]
    digest: str
    turns: int
    virtual_s: float
    trace: list[str]


class World:
    """One run. ``run`` never raises for what it finds: the outcome says it."""

    def __init__(self, seed: int, *, backend: str = "model", keep_trace: bool = False) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.loop = VirtualLoop(max_turns=MAX_TURNS, max_time_s=MAX_TIME_S)
        self.referee = Referee(self.loop, keep_trace)
        self._deletions = random.Random(f"{seed} deletions")
        likely = self._deletions.choice([0.0, 0.0, 0.3, 0.8])
        self.shape = replace(draw_shape(self.random, local=backend == "local"), deletions=likely)
        if self.shape.kind == "hours":
            self.loop.allow(MAX_TURNS_OF_HOURS)
        self.referee.max_receive_count = self.shape.max_receive_count
        self.faults = Faults(self.loop, self.random, ends_at=self.shape.faults_s, none=self.shape.kind == "deploys")
        self.services: Services = LocalServices(self) if backend == "local" else ModelServices(self)
        self.over = False
        """Nothing is answered any more, so that what is left over comes to its end."""
        self.ledger = Ledger(self.loop, self.shape, self.services, self.referee)
        self.referee.may_go = self.ledger.is_about_deleted
        self.replicas: list[Replica] = []
        self._keyed: dict[str, bytes] = {}  # originals that were uploaded under an idempotency key
        self._kills = 0
        self._ending = False
        self._serial = 0
        self._tasks = Tasks(self.loop)
        self._clients: list[asyncio.Task[Any]] = []

    def run(self) -> Outcome:
        """Live through the run, to its end or to the first violation."""
        self.loop.set_exception_handler(lambda _, context: self.referee.violated(f"left to the loop: {context}"))
        violation: str | None = None
        with same_order_every_time(), self.services:
            try:
                self.loop.run_until_complete(self._live())
            except (Violation, Stuck) as error:
                violation = f"{type(error).__name__}: {error}"
            except BaseExceptionGroup as errors:
                violation = f"the world failed: {errors!r}"
            finally:
                self.referee.closed = self.over = True
                tops = [*(replica.task for replica in self.replicas), *self._clients]
                self._tasks.throw_away([replica.process for replica in self.replicas], tops)
        return Outcome(
            self.seed,
            violation,
            self.faults.seen,
            self.referee.digest(),
            self.loop.turns,
            self.loop.now,
            self.referee.trace,
        )

    # What the parts of a replica ask the world.

    def latency_s(self) -> float:
        """Draw how long a request is under way in one direction; on a grid, so that things happen at one moment."""
        latency_s = self.random.choice([0.002, 0.01, 0.1 * self.random.random()])
        grid_s = self.shape.grid_s
        return round(latency_s / grid_s) * grid_s if grid_s else latency_s

    def may_kill(self) -> bool:
        return self._kills < MAX_KILLS and not self.over

    def killed(self, replica: Replica) -> None:
        self._kills += 1
        self.services.ended(replica, killed=True)
        self.referee.check_debts(replica)
        self.referee.record(replica.name, "KILLED")
        self.referee.killed(replica)
        self._start_later()

    def stopped(self, replica: Replica) -> None:
        self.referee.record(replica.name, "stopped")
        self.services.ended(replica, killed=False)
        self.referee.check_debts(replica)
        renderer = replica.renderer
        if renderer.running:
            self.referee.violated(f"{replica.name} has stopped and left {renderer.running} renders")
        if self.shape.kind == "deploys":
            self.referee.check_stop(replica)
        if not self._ending:
            replica.process.dead = True  # and uploads that it was taking with it, as the process ends
            self._start_later()

    # The course of a run.

    async def _live(self) -> None:
        for _ in range(self.shape.replicas):
            self._start()
        plans: list[Coroutine[Any, Any, None]] = [self._client(kind, n) for n, kind in enumerate(self.shape.uploads)]
        plans += [store_pictures(self, number) for number in range(self.shape.pictures)]
        plans += [self._strange(body) for body in STRANGE if self.random.random() < 0.1]
        plans += [self._disaster() for _ in range(self.shape.disasters)]
        self._clients = [asyncio.create_task(plan) for plan in plans]
        await asyncio.sleep(self.shape.faults_s)
        await asyncio.gather(*self._clients)
        self.referee.record("world", "the faults are over")
        await self._settle()
        await self._stop_all()
        self._check_end()
        await asyncio.sleep(0)

    def _start(self) -> None:
        if self._ending:
            return
        self._serial += 1
        replica = Replica(self, f"replica{self._serial}")
        replica.task.add_done_callback(lambda task: self._check_life(replica, task))
        self.replicas.append(replica)
        self.referee.record(replica.name, "started")

    def _start_later(self) -> None:
        self.loop.world_later(self.random.choice([0.1, 2.0, 20.0]) * self.random.random(), self._start)

    def _check_life(self, replica: Replica, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.referee.violated(f"{replica.name} died of {error!r}")

    def serving(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.serving]

    async def _client(self, kind: str, number: int) -> None:
        """Upload one image, as often as it takes to have it accepted."""
        await asyncio.sleep(self.random.random() * self.shape.faults_s * self.random.random())
        while True:
            if serving := [one for one in self.serving() if not one.process.frozen]:
                replica = self.random.choice(serving)
                accepting = self._upload(replica, kind, number, keyed=number % 2 == 0)
                call = self.loop.create_task(accepting, context=replica.context.copy())
                await asyncio.wait([call], timeout=60)
                if call.done() and call.exception() is None:
                    key = call.result().source.key
                    self.referee.record("client", f"accepted {key} ({kind})")
                    self.ledger.accepted[key] = kind
                    if number % 2 == 0:
                        self._keyed[key] = image(kind, number)
                    if self._deletions.random() < self.shape.deletions:
                        await delete_job(self, key, self._deletions)
                    return
                if call.done() and not isinstance(call.exception(), BackendError | KeyNotFree):
                    self.referee.violated(f"an upload was answered with {call.exception()!r}")
            await asyncio.sleep(1 + self.random.random())

    async def _upload(self, replica: Replica, kind: str, number: int, *, keyed: bool) -> Accepted:
        """Upload an image to a replica, under the client's idempotency key or without one."""
        said: dict[str, Any] = {"filename": None, "options": UploadOptions(presets=presets_of(kind))}
        if not keyed:
            return await replica.intake.accept(image(kind, number), **said, within_s=20)
        upload = KeyedUpload(Key(replica.claims, digest_of("", str(number)), "upload"), replica.intake)
        try:
            await upload.look_at(image(kind, number), **said)
            return await upload.accept(image(kind, number), **said, within_s=20)
        finally:
            await upload.end(whole=True)

    async def _strange(self, body: str) -> None:
        await asyncio.sleep(self.random.random() * self.shape.faults_s)
        self.services.send(body)

    async def _disaster(self) -> None:
        """Do something to a replica at some time."""
        await asyncio.sleep(self.random.random() * self.shape.faults_s)
        serving = self.serving()
        if not serving:
            return
        replica = self.random.choice(serving)
        if replica.process.frozen:
            return
        calm = self.shape.kind == "deploys"
        what = "stop" if calm else self.random.choice(["kill", "kill", "stop", "stop", "freeze", "suspend", "wall"])
        if what == "kill" and not self.may_kill():
            return
        self.faults.note(f"replica-{what}")
        self.referee.record(replica.name, f"DISASTER: {what}")
        if what == "stop":
            replica.stop()
            if not calm and self.random.random() < 0.2:
                await asyncio.sleep(self.random.random() * 5)
                if replica.task in asyncio.all_tasks() and not replica.process.dead:
                    replica.kill()
        elif what == "kill":
            replica.kill()
        elif what == "wall":
            by_s = self.random.choice([-600, -60, 60, 600]) * self.random.random()
            self.services.set_wall_clock(replica, by_s * WALL_CLOCKS_APART_S / 600 if self.shape.deletions else by_s)
        else:
            replica.freeze()
            asleep_s = self.random.choice([0.5, 0.9, 1.0, 3.0]) * self.shape.settings.visibility_timeout_s
            await asyncio.sleep(asleep_s)
            replica.thaw(suspended_s=asleep_s if what == "suspend" else 0.0)

    async def _settle(self) -> None:
        """Let the replicas work until everything is done, failed or buried."""
        end = self.loop.now + SETTLE_WITHIN_S + 4 * self.shape.longest_render_s
        while unsettled := self.ledger.unsettled():
            if self.loop.now > end:
                self.referee.violated(f"not settled: {'; '.join(unsettled)}")
            if not self.serving() and not any(one.serving for one in self.replicas):
                self._start()
            await asyncio.sleep(5)

    async def _stop_all(self) -> None:
        self._ending = True
        serving = [replica for replica in self.replicas if not replica.process.dead]
        for replica in serving:
            if not replica.stopping:
                replica.stop()
        await asyncio.gather(*(replica.task for replica in serving))

    def _check_end(self) -> None:
        self.ledger.check_uploads()
        originals = {key: self.services.read(key) for key in self.services.keys(keys.UPLOADS_PREFIX)}
        for key, body in self._keyed.items():
            expected = [] if key in self.ledger.deleted else [key]
            if (stored := [one for one, found in originals.items() if found == body]) != expected:
                self.referee.violated(f"an upload under one key was answered with {key} and is stored as {stored}")
        self.referee.check_slots(self.shape.settings.jobs_in_flight)
        if left := self._tasks.alive():
            self.referee.violated(f"tasks are left: {left}")
