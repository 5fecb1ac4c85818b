"""What a replica says of itself: what a restart mends, what another replica does not have, what is away for all."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from support.doubles.clocks import SystemClock
from support.virtual_time import on_virtual_time
from thumbq.core.job import ObjectRef
from thumbq.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    ObjectExists,
    ObjectMissing,
    ObjectTooLarge,
    RestartNeeded,
)
from thumbq.jobs.storehealth import StoreHealth
from thumbq.jobs.storewatch import ObservedStore, StoreWatch
from thumbq.pauses import Pause
from thumbq.ports import Backend, ObjectInfo
from thumbq.worker.replicahealth import ReplicaHealth

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from thumbq.ports import ObjectStore

REF = ObjectRef("b", "key")
AWAY = BackendUnavailable("away")


class Store:
    """One object; each request fails that ``errors`` names, or never ends."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception | None] = {}
        self.requests: Counter[str] = Counter()
        self._body: bytes | None = None

    async def put(self, _ref: ObjectRef, body: bytes, **_options: object) -> str:
        await self._asked("put")
        self._body = body
        return "e"

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        del max_bytes
        info = await self.head(ref, name="get")
        assert self._body is not None
        return info, self._body

    async def head(self, ref: ObjectRef, *, name: str = "head") -> ObjectInfo:
        await self._asked(name)
        if self._body is None:
            raise ObjectMissing(str(ref))
        return ObjectInfo(len(self._body), "e", "text/plain")

    async def delete(self, _ref: ObjectRef) -> None:
        await self._asked("delete")
        self._body = None

    async def _asked(self, name: str) -> None:
        self.requests[name] += 1
        if name in self.errors:
            if (error := self.errors[name]) is None:
                await anyio.sleep_forever()
            else:
                raise error

    def fail(self, error: Exception | None, *names: str) -> None:
        self.errors = dict.fromkeys(names or ("put", "get", "head", "delete"), error)


class Upkeep:
    async def check_room(self, size: int) -> None:
        raise NotImplementedError

    """The upkeep of a directory that is well, or fails."""

    error: Exception | None = None

    async def run(self) -> None:
        raise AssertionError("nobody asked for it")

    async def check(self) -> None:
        if self.error is not None:
            raise self.error


def watched(work: Callable[[Store, StoreWatch, StoreHealth], Awaitable[None]], upkeep: Upkeep | None = None) -> None:
    """Do something on virtual time while a store is watched."""

    async def watching() -> None:
        store = Store()
        backend = Backend(cast("ObjectStore", store), cast("Any", None), "b", None, cast("Any", None), upkeep=upkeep)
        health = StoreHealth(backend.store, "b", SystemClock())
        watch = StoreWatch(backend, health)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run)
            await work(store, watch, health)
            tasks.cancel_scope.cancel()

    on_virtual_time(watching)


@pytest.mark.parametrize("error", [AWAY, BackendError("400 KMS.DisabledException"), None], ids=["away", "400", "hangs"])
def test_an_idle_store_that_fails_for_everybody_is_away_within_a_minute_and_back_after_it(
    error: Exception | None,
) -> None:
    async def work(store: Store, watch: StoreWatch, health: StoreHealth) -> None:
        await anyio.sleep(100)
        assert watch.away_since() is None
        store.fail(error)
        failed_at = health._clock.wall()
        for _ in range(60):  # an orchestrator that asks
            watch.away_since()
            await anyio.sleep(1)
        assert failed_at <= (watch.away_since() or 0) <= failed_at + 60
        since = watch.away_since()
        await anyio.sleep(600)
        assert watch.away_since() == since
        store.errors.clear()
        await health.recover()  # as the receiver does while it is paused
        assert watch.away_since() is None

    watched(work)


def test_writes_that_fail_are_told_by_uploads_and_a_denied_key_is_no_outage() -> None:
    async def work(store: Store, watch: StoreWatch, health: StoreHealth) -> None:
        del health
        watch.failed()
        await anyio.sleep(6)
        assert store.requests == {"put": 1, "get": 1, "delete": 1}, "the probe, once"
        assert watch.away_since() is None
        store.fail(AWAY, "put")
        await anyio.sleep(60)
        assert watch.away_since() is None, "it can be read, and nobody has written"
        watch.failed()
        await anyio.sleep(6)
        assert watch.away_since() is not None

    watched(work)


@pytest.mark.parametrize("error", [ObjectMissing("no"), AccessDenied("no right to list: 403 for what is not there")])
def test_an_idle_hour_costs_240_heads_at_most_and_none_where_nobody_asks_for_health(error: Exception) -> None:
    async def work(store: Store, watch: StoreWatch, health: StoreHealth) -> None:
        del health
        store.fail(error, "head")
        await anyio.sleep(3601)
        assert not store.requests
        for _ in range(3600):
            watch.away_since()
            await anyio.sleep(1)
        assert store.requests == {"head": 240}

    watched(work)


def test_a_directory_costs_no_request_while_it_is_well_and_needs_a_restart_when_it_is_replaced() -> None:
    upkeep = Upkeep()

    async def work(store: Store, watch: StoreWatch, health: StoreHealth) -> None:
        del health
        await anyio.sleep(3600)
        assert not store.requests
        upkeep.error = RestartNeeded("moved")
        store.fail(AWAY, "put")
        await anyio.sleep(6)
        assert "restart" in (watch.restart_needed() or "")
        assert watch.away_since() is not None, "so that no job is begun"
        upkeep.error = None
        await anyio.sleep(6)
        assert watch.restart_needed() is None

    watched(work, upkeep)


@pytest.mark.parametrize("really", [True, False])
def test_a_full_directory_is_away_if_the_probe_cannot_be_written(*, really: bool) -> None:
    upkeep = Upkeep()

    async def work(store: Store, watch: StoreWatch, health: StoreHealth) -> None:
        del health
        upkeep.error = BackendUnavailable("the disk is full")
        if really:
            store.fail(AWAY, "put")
        await anyio.sleep(6)
        assert (watch.away_since() is not None) is really
        assert watch.restart_needed() is None

    watched(work, upkeep)


class Consumers:
    alive: str | None = None
    away: dict[str, float | None] = {"": None}  # noqa: RUF012 - each test sets its own

    def not_alive(self) -> str | None:
        return self.alive

    def away_since(self) -> dict[str, float | None]:
        return self.away


class Watch:
    restart: str | None = None
    away: float | None = None

    def restart_needed(self) -> str | None:
        return self.restart

    def away_since(self) -> float | None:
        return self.away


class Pauses:
    def __init__(self) -> None:
        self.found: dict[str, Pause] = {}

    def paused(self) -> dict[str, Pause]:
        return self.found


def replica(*, one_directory: bool = False) -> tuple[ReplicaHealth, Consumers, Watch]:
    health, consumers, watch = ReplicaHealth(lambda: False, one_directory=one_directory), Consumers(), Watch()
    health.watches(cast("Any", consumers), cast("Any", watch), cast("Any", Pauses()))
    health.started()
    return health, consumers, watch


def test_a_replica_is_ready_between_its_start_and_its_stop() -> None:
    health = ReplicaHealth(lambda: False, one_directory=False)
    assert (health.not_alive(), health.not_ready(), health.away_since()) == (None, "the service is starting", {})
    health, _, _ = replica()
    assert (health.not_alive(), health.not_ready()) == (None, None)
    assert health.away_since() == {"store": None, "queue": None}
    health.drains()
    assert (health.not_alive(), health.not_ready()) == (None, "the service is stopping")


def test_what_fails_for_all_replicas_is_named_and_costs_neither_life_nor_readiness() -> None:
    health, consumers, watch = replica()
    watch.away = 5.0
    assert (health.not_alive(), health.not_ready()) == (None, None)
    assert health.away_since() == {"store": 5.0, "queue": None}
    watch.away, consumers.away = None, {"": 6.0}
    assert (health.not_alive(), health.not_ready()) == (None, None)
    assert health.away_since() == {"store": None, "queue": 6.0}
    watch.away, consumers.away = 5.0, {"high": 6.0, "low": None}
    assert (health.not_alive(), health.not_ready()) == (None, None)
    assert health.away_since() == {"store": 5.0, "queue high": 6.0, "queue low": None}


def test_a_queue_that_is_paused_is_named_and_is_neither_dead_nor_away() -> None:
    health, consumers, pauses = ReplicaHealth(lambda: False, one_directory=False), Consumers(), Pauses()
    assert health.paused_since() == {}
    health.watches(cast("Any", consumers), cast("Any", Watch()), cast("Any", pauses))
    health.started()
    assert health.paused_since() == {}
    pauses.found = {"default": Pause(7.0)}
    assert health.paused_since() == {"queue": 7.0}
    assert (health.not_alive(), health.not_ready(), health.away_since()) == (None, None, {"store": None, "queue": None})
    consumers.away, pauses.found = {"high": None, "low": None}, {"low": Pause(None)}
    assert health.paused_since() == {"queue low": None}


def test_a_replica_to_which_nothing_answers_is_not_ready_since_another_may_reach_it() -> None:
    health, consumers, watch = replica()
    watch.away, consumers.away = 5.0, {"high": 6.0, "low": 7.0}
    assert (health.not_alive(), health.not_ready()) == (None, "neither the store nor the queue answers")


def test_a_directory_that_fails_fails_for_all_of_its_replicas() -> None:
    health, consumers, watch = replica(one_directory=True)
    watch.away, consumers.away = 5.0, {"": 6.0}
    assert (health.not_alive(), health.not_ready()) == (None, None)


@pytest.mark.parametrize("what", ["loop", "directory"])
def test_what_a_restart_mends_is_neither_alive_nor_ready(what: str) -> None:
    health, consumers, watch = replica()
    consumers.alive, watch.restart = ("stopped", None) if what == "loop" else (None, "stopped")
    assert (health.not_alive(), health.not_ready()) == ("stopped", "stopped")


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (AWAY, True),
        (AccessDenied("no"), True),
        (BackendError("400"), True),
        (ObjectMissing("no"), False),
        (ObjectExists("yes"), False),
        (ObjectTooLarge("large", 9), False),
        (None, False),
    ],
)
async def test_requests_without_an_answer_are_told_of(error: Exception | None, *, counts: bool) -> None:
    class Failing:
        def __getattr__(self, name: str) -> Any:
            async def call(*_arguments: object, **_options: object) -> str:
                if error is not None:
                    raise error
                return name

            return call

    told: list[int] = []
    store = ObservedStore(cast("ObjectStore", Failing()), lambda: told.append(1))
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "put": partial(store.put, REF, b"", content_type=""),
        "get": partial(store.get, REF, max_bytes=1),
        "fetch": partial(store.fetch, REF, cast("Any", None), max_bytes=1),
        "head": partial(store.head, REF),
        "list": partial(store.list, "b", prefix=""),
    }
    for name, call in calls.items():
        if error is None:
            assert await call() == name
        else:
            with pytest.raises(type(error)):
                await call()
    assert len(told) == (len(calls) if counts else 0)
