"""The world of one run: uploads, replicas and what befalls them, drawn from one seed, until all is settled."""

from __future__ import annotations

import asyncio
import random
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from simulation.faults import Faults
from simulation.local import LocalServices
from simulation.referee import Referee, Violation
from simulation.rendering import image
from simulation.replica import Replica
from simulation.services import ModelServices, Services
from simulation.virtualloop import PROCESS, Process, Stuck, VirtualLoop, same_order_every_time
from thumbq.core import attempt, keys, manifest
from thumbq.core import message as messages
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendError, MalformedMessage
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Coroutine

    from simulation.referee import Hold
    from thumbq.core.manifest import Manifest

MAX_TURNS: Final = 600_000
MAX_TIME_S: Final = 200_000.0
SETTLE_WITHIN_S: Final = 20_000.0
MAX_KILLS: Final = 6
_LAST_TURNS: Final = 5_000

EXPECTED: Final = {
    "refused": {"corrupt"},
    "crashing": {"render-crashed"},
    "hanging": {"render-timeout", "render-crashed"},
    "killer": {"render-crashed"},
}
"""How each bad image ends, unless its attempts are used up before."""

STRANGE: Final = ('{"key": ', "thumbnail/of-our-own.jpg", "uploads/not-there", '{"bucket": "other", "key": "k"}')
"""Messages that no upload sent."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What kind of run this is. Times are seconds."""

    kind: str
    settings: Settings
    replicas: int
    uploads: tuple[str, ...]
    faults_s: float
    max_receive_count: int | None
    dead_letters: bool
    longest_render_s: float
    render_timeout_s: float
    grid_s: float
    disasters: int


@lru_cache(maxsize=1024)
def _settings(**values: int) -> Settings:
    return Settings(**values)  # type: ignore[arg-type]


def draw_shape(draw: random.Random, *, local: bool) -> Shape:
    """Draw a run's shape. The local backend looks for messages often, so that hours would take too long there."""
    kind = draw.choices(["faults", "deploys", "hours"], weights=[0.86, 0.12, 0.0 if local else 0.02])[0]
    timeout_s = draw.choice([4, 6, 10, 30]) if kind != "hours" else 14_400
    processes = draw.randint(1, 3)
    settings = _settings(
        processes=processes,
        concurrency=draw.choice([processes, processes + 1, processes + 3, 12]),
        visibility_timeout_s=timeout_s,
        wait_time_s=draw.choice([0, 1, 5, 20]) if kind != "hours" else 20,
        shutdown_deadline_s=draw.choice([3, 10, 30]),
    )
    bad = ["refused", "crashing", "hanging", "killer"] if kind == "faults" and draw.random() < 0.5 else []
    uploads = tuple(draw.choice(bad) if bad and draw.random() < 0.3 else "good" for _ in range(draw.randint(2, 7)))
    redrive = local or kind == "deploys" or draw.random() < 0.85
    return Shape(
        kind=kind,
        settings=settings,
        replicas=draw.randint(1, 3),
        uploads=uploads,
        faults_s=draw.choice([20.0, 60.0, 120.0]) if kind != "hours" else 60_000.0,
        max_receive_count=(10 if kind == "deploys" else draw.choice([2, 4, 10, 10])) if redrive else None,
        dead_letters=redrive,
        longest_render_s=3.0 * timeout_s if kind != "hours" else 50_000.0,
        render_timeout_s=100.0 if kind != "hours" else 50_000.0,
        grid_s=draw.choice([0.0, 0.05, 0.25]),
        disasters=draw.randint(0, 5),
    )


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
        self.shape = draw_shape(self.random, local=backend == "local")
        self.referee.max_receive_count = self.shape.max_receive_count
        self.faults = Faults(self.loop, self.random, ends_at=self.shape.faults_s, none=self.shape.kind == "deploys")
        self.services: Services = LocalServices(self) if backend == "local" else ModelServices(self)
        self.over = False
        """Nothing is answered any more, so that what is left over comes to its end."""
        self.unsure: set[str] = set()
        """Requests that were carried out without an answer, perhaps late, or not at all."""
        self._record_writers: dict[str, Hold] = {}
        """Which receive of its message has written an attempt record last."""
        self._done_since: dict[str, float] = {}
        self.accepted: dict[str, str] = {}
        self.replicas: list[Replica] = []
        self.left_open = 0
        self._kills = 0
        self._ending = False
        self._serial = 0
        self._tasks: list[tuple[asyncio.Task[Any], Process | None]] = []
        self._clients: list[asyncio.Task[Any]] = []

    def run(self) -> Outcome:
        """Live through the run, to its end or to the first violation."""
        self.loop.set_task_factory(self._make_task)
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
                self._throw_away()
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
        for hold in self.referee.holds.values():
            if hold.replica is replica and hold.rendering:
                self.referee.cuts[hold.message.id].append("replica-killed")
        self._start_later()

    def stopped(self, replica: Replica) -> None:
        self.referee.record(replica.name, "stopped")
        self.services.ended(replica, killed=False)
        self.referee.check_debts(replica)
        renderer = replica.renderer
        if renderer.running:
            self.referee.violated(f"{replica.name} has stopped and left {renderer.running} renders")
        if not self._ending:
            self._start_later()

    def manifest_of(self, key: str) -> Manifest | None:
        found = self.services.read(keys.manifest_key(key))
        return None if found is None else manifest.decode(found)

    def is_suspect(self, hold: Hold | None) -> bool:
        """Whether a message is known to have ended renders, going by its attempt record."""
        found = None if hold is None else self.services.read(keys.attempt_key(hold.message.id))
        record = None if found is None else attempt.decode(found)
        return record is not None and record.suspect

    def note_record(self, key: str, hold: Hold | None) -> None:
        """Remember whose an attempt record is."""
        if hold is not None:
            self._record_writers[key] = hold

    def note_manifest(self, key: str, body: bytes) -> None:
        """Remember since when it is known that something is done."""
        record = manifest.decode(body)
        if record is not None and record.status == "done":
            self._done_since.setdefault(key, self.loop.now)

    def check_render(self, hold: Hold) -> None:
        """Check that what is made has not been made before this receive."""
        source = messages.parse(hold.message.body, default_bucket=self.services.bucket).source
        if self._done_since.get(keys.manifest_key(source.key), self.loop.now) < hold.arrived_at:
            self.referee.violated(f"rendered again though it was done before it was received: {hold}")

    def check_delete(self, hold: Hold) -> None:
        """Check that a message's outcome is stored before the message is deleted."""
        if not self.has_ended(hold):
            self.referee.violated(f"deleted before its outcome was stored: {hold} {hold.message.body}")

    def has_ended(self, hold: Hold) -> bool:
        """Whether the outcome of a message is stored."""
        try:
            source = messages.parse(hold.message.body, default_bucket=self.services.bucket).source
        except MalformedMessage:
            source = ObjectRef("", "")
        if source.bucket != self.services.bucket:
            return self.services.read(keys.failed_message_key(hold.message.id)) is not None
        return self.shape.settings.is_output(source.key) or self.manifest_of(source.key) is not None

    # The course of a run.

    async def _live(self) -> None:
        for _ in range(self.shape.replicas):
            self._start()
        plans: list[Coroutine[Any, Any, None]] = [self._client(kind, n) for n, kind in enumerate(self.shape.uploads)]
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

    def _serving(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.serving]

    async def _client(self, kind: str, number: int) -> None:
        """Upload one image, as often as it takes to have it accepted."""
        await asyncio.sleep(self.random.random() * self.shape.faults_s * self.random.random())
        while True:
            if serving := [one for one in self._serving() if not one.process.frozen]:
                replica = self.random.choice(serving)
                accepting = replica.intake.accept(image(kind, number), filename=None, within_s=20)
                call = self.loop.create_task(accepting, context=replica.context.copy())
                await asyncio.wait([call], timeout=60)
                if call.done() and call.exception() is None:
                    key = call.result().source.key
                    self.referee.record("client", f"accepted {key} ({kind})")
                    self.accepted[key] = kind
                    return
                if call.done() and not isinstance(call.exception(), BackendError):
                    self.referee.violated(f"an upload was answered with {call.exception()!r}")
            await asyncio.sleep(1 + self.random.random())

    async def _strange(self, body: str) -> None:
        await asyncio.sleep(self.random.random() * self.shape.faults_s)
        self.services.send(body)

    async def _disaster(self) -> None:
        """Do something to a replica at some time."""
        await asyncio.sleep(self.random.random() * self.shape.faults_s)
        serving = self._serving()
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
            self.services.set_wall_clock(replica, self.random.choice([-600, -60, 60, 600]) * self.random.random())
        else:
            replica.freeze()
            asleep_s = self.random.choice([0.5, 0.9, 1.0, 3.0]) * self.shape.settings.visibility_timeout_s
            await asyncio.sleep(asleep_s)
            replica.thaw(suspended_s=asleep_s if what == "suspend" else 0.0)

    async def _settle(self) -> None:
        """Let the replicas work until everything is done, failed or buried."""
        end = self.loop.now + SETTLE_WITHIN_S + 4 * self.shape.longest_render_s
        while unsettled := self._unsettled():
            if self.loop.now > end:
                self.referee.violated(f"not settled: {'; '.join(unsettled)}")
            if not self._serving() and not any(one.serving for one in self.replicas):
                self._start()
            await asyncio.sleep(5)

    def _unsettled(self) -> list[str]:
        left = [f"message {one} is in the queue" for one in self.services.messages()]
        left += [f"{key} has no manifest" for key in self.accepted if self.manifest_of(key) is None]
        records = self.services.keys(keys.ATTEMPTS_PREFIX)
        left += [f"{key} is left" for key in records if not self._excused_record(key)]
        left += [f"dead letter {one} has no reason" for one in self.services.letters_without_note()]
        return left

    def _excused_record(self, key: str) -> bool:
        """Whether an attempt record may be left.

        That is so when a request for it failed or was carried out after its sender had gone, and when it was written
        while another receive of the same message was at work, which may have ended the message.
        """
        writer = self._record_writers.get(key)
        if writer is None or {f"put {key}", f"delete {key}"} & self.unsure:
            return True
        twins = [one for one in self.referee.attempts.values() if one.message.id == writer.message.id and one != writer]
        return any(
            twin.arrived_at <= (writer.last_request_at or 0.0) and (twin.last_request_at or 0.0) >= writer.arrived_at
            for twin in twins
        )

    async def _stop_all(self) -> None:
        self._ending = True
        serving = [replica for replica in self.replicas if not replica.process.dead]
        for replica in serving:
            if not replica.stopping:
                replica.stop()
        await asyncio.gather(*(replica.task for replica in serving))

    def _check_end(self) -> None:
        for key, kind in self.accepted.items():
            self._check_upload(key, kind)
        self.referee.check_slots(self.shape.settings.jobs_in_flight)
        alive = [task for task, process in self._tasks if not task.done() and not (process and process.dead)]
        if left := [task for task in alive if task is not asyncio.current_task()]:
            self.referee.violated(f"tasks are left: {left}")

    def _check_upload(self, key: str, kind: str) -> None:
        record = self.manifest_of(key)
        assert record is not None
        if self.services.read(key) is None:
            self.referee.violated(f"the original {key} is gone")
        if kind == "good" and record.status == "done":
            return
        if record.status == "done":
            self.referee.violated(f"{key} is done though it is {kind}")
        assert record.error is not None
        code, message_id = record.error.code, record.message_id or ""
        if code not in EXPECTED.get(kind, set()) and not self._excused(code, message_id, record.receive_count or 0):
            self.referee.violated(
                f"{key} ({kind}) failed with {code} after {record.receive_count} receives: {record.error.message};"
                f" what was done to it: {self.referee.cuts[message_id]}"
            )

    def _excused(self, code: str, message_id: str, receive_count: int) -> bool:
        """Whether the faults were that bad.

        Attempts are used up when each receive that the redrive policy allows was. An image is taken for a poisonous one
        when two renders of it were killed, or three have ended by a kill, the death of the whole replica, or the
        loss of the lease: from outside these cannot be told from what such an image does.
        """
        if self.shape.kind == "deploys":
            return False
        if code == "attempts-exhausted":
            return self.shape.max_receive_count is not None and receive_count >= self.shape.max_receive_count
        cuts = list(self.referee.cuts[message_id])
        if f"put {keys.attempt_key(message_id)}" in self.unsure:
            cuts.append("record-unsure")  # one that was closed may have been opened again by a request that came late
        return code == "render-crashed" and (cuts.count("child-killed") >= 2 or len(cuts) >= 3)

    # What asyncio leaves behind.

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
        context = options.get("context")
        self._tasks.append((task, PROCESS.get() if context is None else context.get(PROCESS)))
        return task

    def _throw_away(self) -> None:
        """Bring what will not go on to its end: the tasks of dead processes, and all of them after a violation."""
        self.referee.closed = self.over = True
        self.loop.set_exception_handler(_ignore)
        for replica in self.replicas:
            replica.process.dead = False
            self.loop.thaw(replica.process)
        self.loop.allow(_LAST_TURNS)
        for task in [*(replica.task for replica in self.replicas), *self._clients]:
            task.cancel()
        with suppress(Stuck):
            if left := [task for task, _ in self._tasks if not task.done()]:
                self.loop.run_until_complete(asyncio.wait(left))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # some have not even begun
            self._close_tasks()
        self.loop.close()

    def _close_tasks(self) -> None:
        for task, _ in self._tasks:
            if not task.done():
                self.left_open += 1
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _close(task.get_coro())
            elif not task.cancelled():
                task.exception()


def _ignore(_loop: object, _context: object) -> None:
    """Say nothing of what is thrown away."""


def _close(coro: Any) -> None:
    """Close a coroutine whose clean-up wants to wait, which it cannot any more."""
    for _ in range(20):
        try:
            coro.close()
        except BaseException:  # noqa: BLE001 - whatever the dead still want to say
            continue
        return
