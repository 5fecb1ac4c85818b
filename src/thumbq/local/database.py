"""The one thread that owns the SQLite connection, with group commit.

A durable commit costs milliseconds, whatever its size. So all operations that wait while one commit runs go into the
next transaction together, each in a savepoint of its own.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from concurrent.futures import Future
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import anyio.to_thread

from thumbq.errors import BackendUnavailable
from thumbq.local import errors, schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

T = TypeVar("T")

_MAX_GROUP: Final = 64
_LOCK_STEP_S: Final = 0.001


@dataclass(eq=False, slots=True)
class _Call(Generic[T]):
    """An operation for the thread. Its result is valid only once the transaction is committed."""

    work: Callable[[sqlite3.Connection], T]
    writes: bool
    future: Future[T] = field(default_factory=Future)
    result: T | None = None
    error: Exception | None = None

    def resolve(self) -> None:
        if self.error is None:
            self.future.set_result(cast("T", self.result))
        else:
            self.future.set_exception(self.error)


class Database:
    """Runs operations on the database one after the other, and never on the event loop's thread.

    Operations are plain functions over a connection. An exception of one reaches its own caller only, and undoes only
    its own changes; errors of SQLite arrive as BackendUnavailable.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._calls: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self._closed = False

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation that only reads, without taking the lock for writing."""
        return await self._run(_Call(work, writes=False))

    async def write(
        self, work: Callable[[sqlite3.Connection], T], *, undo: Callable[[sqlite3.Connection, T], None] | None = None
    ) -> T:
        """Run an operation and return once its changes are durable.

        When the caller is cancelled, an operation that has not begun is dropped; of one that has begun, ``undo`` is
        run with its result.
        """
        call = _Call(work, writes=True)
        try:
            return await self._run(call)
        except asyncio.CancelledError:
            if undo is not None and not call.future.cancel() and not self._closed:
                self._calls.put(_Call(lambda connection: _undo(connection, call, undo), writes=True))
            raise

    async def _run(self, call: _Call[T]) -> T:
        if self._closed:
            raise BackendUnavailable(f"{self._directory}: the local backend is closed")
        self._calls.put(call)
        return await asyncio.wrap_future(call.future)

    def serve(self, opened: Future[None]) -> None:
        """Run the thread: open the database, run operations as they come, and end after ``close``."""
        opened.set_running_or_notify_cancel()
        try:
            connection = schema.connect(self._directory)
        except BaseException as error:  # noqa: BLE001 - it is raised where the thread was started
            opened.set_exception(error)
            return
        opened.set_result(None)
        with closing(connection):
            while group := self._next_group():
                self._run_group(connection, group)

    def close(self) -> None:
        """Let the thread end after the operations that were asked for before."""
        self._closed = True
        self._calls.put(None)

    def _next_group(self) -> list[_Call[Any]]:
        group: list[_Call[Any]] = []
        call = self._calls.get()
        while call is not None:
            group.append(call)
            if len(group) == _MAX_GROUP:
                return group
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                return group
        if group:
            self._calls.put(None)
        return group

    def _run_group(self, connection: sqlite3.Connection, group: list[_Call[Any]]) -> None:
        calls = [call for call in group if call.future.set_running_or_notify_cancel()]
        try:
            if any(call.writes for call in calls):
                _begin_writing(connection)
            else:
                connection.execute("BEGIN")
            for call in calls:
                self._run_call(connection, call)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - every caller that waits gets the error, whatever it is
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            for call in calls:
                call.error = self._translated(error)
        for call in calls:
            call.resolve()

    def _run_call(self, connection: sqlite3.Connection, call: _Call[Any]) -> None:
        connection.execute("SAVEPOINT operation")
        try:
            call.result = call.work(connection)
        except Exception as error:
            # SQLite ends the whole transaction itself after some errors, such as a full disk.
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO operation")
            call.error = self._translated(error)
        connection.execute("RELEASE operation")

    def _translated(self, error: Exception) -> Exception:
        path = self._directory / schema.DATABASE_NAME
        return errors.translated(error, path) if isinstance(error, sqlite3.Error | OSError) else error


def _begin_writing(connection: sqlite3.Connection) -> None:
    """Begin a transaction with the lock for writing, waiting for it in short steps.

    SQLite's own wait grows to 100 ms a step, and a process that is busy keeps the others out for seconds.
    """
    end = time.monotonic() + schema.BUSY_TIMEOUT_S
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while not _locked(connection, last_try=time.monotonic() > end):
            time.sleep(_LOCK_STEP_S)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {schema.BUSY_TIMEOUT_S * 1000:.0f}")


def _locked(connection: sqlite3.Connection, *, last_try: bool) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if last_try or error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _undo(connection: sqlite3.Connection, call: _Call[T], undo: Callable[[sqlite3.Connection, T], None]) -> None:
    if call.error is None:
        undo(connection, cast("T", call.result))


@asynccontextmanager
async def open_database(directory: Path) -> AsyncIterator[Database]:
    """Open the database of a directory, and end its thread on leaving, after the last operation. Raises SetupError."""
    database = Database(directory)
    opened: Future[None] = Future()
    thread = threading.Thread(target=database.serve, args=(opened,), name="thumbq-database", daemon=True)
    thread.start()
    try:
        await asyncio.wrap_future(opened)
        yield database
    finally:
        database.close()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(thread.join)
