"""Probes of the store with an object of thumbq's own: is it an outage, and does the store do all that it has to."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    BadAnswer,
    ObjectExists,
    ObjectMissing,
    Problem,
    SetupError,
)
from thumbq.jobs.lookingstore import LookingStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from thumbq.ports import ObjectStore

_BODY: Final = b"probe"
_MAX_BYTES: Final = 1024
_PROBE_S: Final = 10.0
_CHECK_S: Final = 30.0


async def failure(store: ObjectStore, bucket: str) -> str | None:
    """Write something small, read it and remove it, and say what failed: an outage may be one of writes only.

    The object is the same for all replicas.
    """
    ref = ObjectRef(bucket, keys.PROBE_KEY)
    try:
        with anyio.fail_after(_PROBE_S):
            await store.put(ref, _BODY, content_type="text/plain")
            with suppress(ObjectMissing):  # another replica's probe may have removed it
                _, body = await store.get(ref, max_bytes=_MAX_BYTES)
                if body != _BODY:
                    return f"get {ref}: these are not the bytes that were put"
            with suppress(AccessDenied):  # as good as an answer: what is left is small
                await store.delete(ref)
    except TimeoutError:
        return f"no answer within {_PROBE_S:g} s"
    except BackendError as error:
        return str(error)
    return None


@dataclass(frozen=True, slots=True)
class CheckedStore:
    """A store as it is to be used, and what it lacks that does no harm."""

    store: ObjectStore
    warnings: Sequence[Problem]


async def check_store(store: ObjectStore, bucket: str) -> CheckedStore:
    """Try all that thumbq asks of a store, at the start.

    Raises SetupError with everything that it cannot do without.
    """
    check = _Check(store, ObjectRef(bucket, f"{keys.PROBE_KEY}-{secrets.token_hex(8)}"))
    with anyio.move_on_after(_CHECK_S) as scope:
        await check.run()
    if scope.cancelled_caught:
        check.problems.append(Problem(f"the store did not answer within {_CHECK_S:g} s", "try again in a moment"))
    if check.problems:
        raise SetupError(check.problems)
    return CheckedStore(store if check.conditional_puts else LookingStore(store), check.warnings)


class _Differs(BackendError):
    """The store answers something else than what was stored."""


class _Check:
    """One check, with an object that no other check has."""

    def __init__(self, store: ObjectStore, ref: ObjectRef) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.conditional_puts = True
        self._store = store
        self._ref = ref
        self._etag = ""

    async def run(self) -> None:
        """Put the object, use it in every way at the same time, and remove it."""
        if await self._does("put an object", "s3:PutObject", self._put):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._does, "get an object", "s3:GetObject", self._get)
                tasks.start_soon(self._does, "show an object's attributes (HEAD)", "s3:GetObject", self._head)
                tasks.start_soon(self._does, "list objects", "s3:ListBucket", self._list)
                tasks.start_soon(self._does, "put an object only if there is none", "s3:PutObject", self._put_again)
            await self._does("delete an object", "s3:DeleteObject", self._delete)

    async def _does(self, what: str, right: str, step: Callable[[], Awaitable[None]]) -> bool:
        try:
            await step()
        except BackendError as error:
            self.problems.append(Problem(f"the store cannot {what}: {error}", _fix(error, right, self._ref)))
            return False
        return True

    async def _put(self) -> None:
        self._etag = await self._store.put(self._ref, _BODY, content_type="text/plain", if_absent=True)

    async def _get(self) -> None:
        info, body = await self._store.get(self._ref, max_bytes=_MAX_BYTES)
        if body != _BODY:
            raise _Differs(f"get {self._ref}: these are not the bytes that were put")
        self._compare("get", info.etag)

    async def _head(self) -> None:
        info = await self._store.head(self._ref)
        if info.size not in {None, len(_BODY)}:
            raise _Differs(f"head {self._ref}: {info.size} bytes, though {len(_BODY)} were put")
        self._compare("head", info.etag)

    def _compare(self, action: str, etag: str) -> None:
        if etag != self._etag:
            raise _Differs(f"{action} {self._ref}: its ETag is {etag}, and it was {self._etag} when it was put")

    async def _list(self) -> None:
        found = await self._store.list(self._ref.bucket, prefix=self._ref.key)
        if [entry.key for entry in found] != [self._ref.key]:
            raise _Differs(f"list {self._ref}: the object that was put is not in the listing")

    async def _put_again(self) -> None:
        try:
            await self._store.put(self._ref, _BODY, content_type="text/plain", if_absent=True)
        except ObjectExists:
            return
        self.conditional_puts = False
        what = "the store puts an object also when there is one and it is asked not to (If-None-Match)"
        fix = "two messages about one job may then each write its first failure; use a store that has conditional puts"
        self.warnings.append(Problem(what, fix))

    async def _delete(self) -> None:
        try:
            await self._store.delete(self._ref)
        except AccessDenied as error:
            what = f"the store cannot delete an object: {error}"
            fix = f"{_fix(error, 's3:DeleteObject', self._ref)}; until then crash records and refused uploads stay"
            self.warnings.append(Problem(what, fix))


def _fix(error: BackendError, right: str, ref: ObjectRef) -> str:
    if isinstance(error, AccessDenied):
        return f"allow it ({right}) on all that thumbq keeps in {ref.bucket}"
    if isinstance(error, BadAnswer | _Differs):
        return "use a store that can, or correct its address: something else may answer there"
    if isinstance(error, BackendUnavailable):
        return "try again in a moment"
    return "do what the store says, and start again; or use a store that can"
