"""The local backend's own code in a world: its SQL over a real SQLite, its files, and crashes between any two writes.

Its threads are run in place: what a thread does takes no time, and its answer some. A process that dies within a
transaction leaves what SQLite leaves: nothing of it. Writes are made durable before the next step begins, so that a
power loss is the death of all processes at once.
"""

from __future__ import annotations

import asyncio
import os
import queue
import shutil
import sqlite3
import tempfile
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast
from unittest.mock import patch

from simulation.model import EPOCH
from simulation.virtualloop import PROCESS
from thumbq.local import BUCKET, jobqueue, schema, store
from thumbq.local.blobs import Blobs
from thumbq.local.database import Database
from thumbq.local.deadletters import LocalDeadLetters
from thumbq.local.jobqueue import LocalQueue
from thumbq.local.messagetable import QueueRules
from thumbq.local.presigned import LocalPresignedUploads
from thumbq.local.store import LocalStore
from thumbq.ports import Backend, QueueAttributes

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulation.replica import Replica
    from simulation.world import World
    from thumbq.local.blobnames import Description

T = TypeVar("T")

_LOOK_EVERY_S: Final = 1.0
"""How often long polls look here; ten times a second would only take long."""


class ProcessKilled(BaseException):
    """Ends what a process is doing at once; nothing of the backend's code catches it."""


class _Connection:
    """A connection of one process, which may die, or find the disk full, at any statement."""

    def __init__(self, services: LocalServices, replica: Replica) -> None:
        self._services = services
        self._replica = replica
        self._real = schema.connect(services.directory)

    @property
    def in_transaction(self) -> bool:
        return self._real.in_transaction

    def execute(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
        writes = statement.startswith(("INSERT", "UPDATE", "DELETE", "COMMIT"))
        if writes and self._services.hit("disk-full"):
            raise sqlite3.OperationalError("database or disk is full")
        if writes and self._services.dies("killed-before-a-write"):
            self._services.die(self._replica)
        done = self._real.execute(statement, parameters)
        if writes and self._services.dies("killed-after-a-write"):
            self._services.die(self._replica)
        return done

    def close(self) -> None:
        """Do what the end of a process does: what was not committed is rolled back by whoever opens next."""
        self._real.close()


class _Calls:
    """What the database's thread would read its calls from; a call that is put here sets a turn of it."""

    def __init__(self, turn: Callable[[], None], world: World) -> None:
        self._turn = turn
        self._world = world
        self._calls: deque[Any] = deque()

    def put(self, call: Any) -> None:
        if not self._calls:
            asyncio.get_running_loop().call_later(self._world.latency_s(), self._turn)
        self._calls.append(call)

    def get(self) -> Any:
        return self._calls.popleft()

    def get_nowait(self) -> Any:
        if not self._calls:
            raise queue.Empty
        return self._calls.popleft()

    def __len__(self) -> int:
        return len(self._calls)


class _Database(Database):
    """The database of one process; its thread's turns are timers of the process."""

    def __init__(self, services: LocalServices, replica: Replica) -> None:
        super().__init__(services.directory)
        self.connection = _Connection(services, replica)
        self._waiting = _Calls(self._turn, replica.world)
        self._calls = cast("Any", self._waiting)

    def _turn(self) -> None:
        if self._waiting:
            with suppress(ProcessKilled):
                self._run_group(cast("sqlite3.Connection", self.connection), self._next_group())
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)

    def finish(self) -> None:
        """Do as the thread does at its end: run what was asked for before."""
        while self._waiting:
            self._turn()


class _Blobs(Blobs):
    """The files of one process, with times of the world's, and deaths between the steps of a write."""

    def __init__(self, services: LocalServices, replica: Replica) -> None:
        super().__init__(services.directory)
        self._services = services
        self._replica = replica

    def write(self, body: bytes, description: Description | None = None) -> str:
        if self._services.hit("disk-full"):
            raise OSError(28, "No space left on device")
        if self._services.dies("killed-before-a-file"):
            (self._temporary / uuid.uuid4().hex).write_bytes(body[: len(body) // 2])
            self._services.die(self._replica)
        name = super().write(body, description)
        now = self._replica.clock.wall()
        os.utime(self.path(name), (now, now))
        if self._services.dies("killed-after-a-file"):
            self._services.die(self._replica)
        return name

    def remove(self, name: str) -> None:
        if self._services.dies("killed-before-a-removal"):
            self._services.die(self._replica)
        super().remove(name)


class _InlineThreads:
    """Stands in for anyio.to_thread: the work is done in place, after a while."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def run_sync(self, function: Callable[..., T], *args: object, **_limits: object) -> T:
        await asyncio.sleep(self._world.latency_s())
        try:
            result = function(*args)
        except ProcessKilled:
            await asyncio.get_running_loop().create_future()
            raise
        await asyncio.sleep(self._world.latency_s())
        return result


class LocalServices:
    """One directory on one machine, and the processes that share it."""

    bucket = BUCKET

    def __init__(self, world: World) -> None:
        self._world = world
        self._databases: dict[str, _Database] = {}
        self._patches: list[Any] = []
        self._truth: sqlite3.Connection | None = None
        self._wall_offset = 0.0
        self._closing = False
        self.directory = Path()
        self.attributes = QueueAttributes("local", 30, None, world.shape.max_receive_count)

    def __enter__(self) -> Self:
        fast = Path("/dev/shm")
        self.directory = Path(tempfile.mkdtemp(prefix="thumbq-", dir=fast if fast.is_dir() else None)) / "data"
        self._truth = schema.connect(self.directory)
        Blobs(self.directory).prepare()
        random = self._world.random
        self._patches = [
            patch.object(store, "to_thread", _InlineThreads(self._world)),
            patch.object(uuid, "uuid4", lambda: uuid.UUID(int=random.getrandbits(128), version=4)),
            patch.object(jobqueue, "_LOOK_EVERY_S", _LOOK_EVERY_S),
        ]
        for one in self._patches:
            one.start()
        return self

    @property
    def place(self) -> str:
        return str(self.directory)

    def __exit__(self, *error: object) -> None:
        for one in self._patches:
            one.stop()
        for database in self._databases.values():
            database.connection.close()
        assert self._truth is not None
        self._truth.close()
        shutil.rmtree(self.directory.parent)

    def backend(self, replica: Replica) -> Backend:
        replica.clock.wall_offset = self._wall_offset
        database = self._databases[replica.name] = _Database(self, replica)
        blobs = _Blobs(self, replica)
        rules = QueueRules("", self._world.shape.max_receive_count or 10)
        return Backend(
            store=LocalStore(database, blobs, replica.clock),
            queue=LocalQueue(database, replica.clock, rules, directory=self.directory),
            bucket=BUCKET,
            dead_letters=LocalDeadLetters(database, replica.clock, rules),
            presigned_uploads=LocalPresignedUploads(b"", replica.clock),
        )

    def ended(self, replica: Replica, *, killed: bool) -> None:
        database = self._databases.pop(replica.name)
        if not killed:
            self._closing = True
            database.finish()
            self._closing = False
        database.connection.close()

    def hit(self, fault: str) -> bool:
        return PROCESS.get() is not None and self._world.faults.hit(fault)

    def dies(self, fault: str) -> bool:
        return not self._closing and self._world.may_kill() and self.hit(fault)

    def die(self, replica: Replica) -> None:
        """End a process in the middle of what it does."""
        replica.kill()
        raise ProcessKilled

    def set_wall_clock(self, replica: Replica, by_s: float) -> None:
        """Set the machine's clock, which is the same for all."""
        del replica
        self._wall_offset += by_s
        for one in self._world.replicas:
            one.clock.wall_offset = self._wall_offset

    def send(self, body: str) -> None:
        now = EPOCH + self._world.loop.now + self._wall_offset
        self._rows(
            "INSERT INTO messages (id, body, sent_at, visible_at) VALUES (?, ?, ?, ?)",
            str(uuid.uuid4()),
            body,
            now,
            now,
        )

    def put(self, key: str, body: bytes) -> None:
        raise NotImplementedError

    def read(self, key: str) -> bytes | None:
        rows = self._rows("SELECT blob FROM objects WHERE key = ?", key)
        try:
            return Blobs(self.directory).path(rows[0][0]).read_bytes() if rows else None
        except FileNotFoundError:
            self._world.referee.violated(f"the file of {key} is not there")
            return None

    def keys(self, prefix: str) -> list[str]:
        return [key for (key,) in self._rows("SELECT key FROM objects") if key.startswith(prefix)]

    def messages(self) -> list[str]:
        return [one for (one,) in self._rows("SELECT id FROM messages")]

    def letters(self) -> list[tuple[str, str | None]]:
        return self._rows("SELECT id, note FROM dead_letters")

    def letter_bodies(self) -> list[str]:
        return [body for (body,) in self._rows("SELECT body FROM dead_letters")]

    def _rows(self, statement: str, *parameters: object) -> list[Any]:
        assert self._truth is not None
        return self._truth.execute(statement, parameters).fetchall()
