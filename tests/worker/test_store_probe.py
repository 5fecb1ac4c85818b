"""The check of the store at the start names what a store cannot do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.doubles.consuming import Delegate, Refusing
from thumbq.core import keys
from thumbq.errors import AccessDenied, BackendUnavailable, BadAnswer, SetupError
from thumbq.jobs.storeprobe import check_store
from thumbq.ports import ObjectInfo

if TYPE_CHECKING:
    from thumbq.ports import Backend


async def left(backend: Backend) -> list[str]:
    listed = await backend.store.list(backend.bucket, prefix=keys.CRASH_RECORDS_PREFIX)
    return [entry.key for entry in listed]


async def test_a_store_that_can_do_it_all_is_left_as_it_was(backend: Backend) -> None:
    assert (await check_store(backend.store, backend.bucket)).warnings == []
    assert await left(backend) == []


@pytest.mark.parametrize("request_name", ["put", "get", "head", "list"])
@pytest.mark.parametrize("error", [AccessDenied("no"), BadAnswer("no ETag"), BackendUnavailable("away")])
async def test_each_request_that_fails_is_named_with_its_fix(
    backend: Backend, request_name: str, error: Exception
) -> None:
    class Failing(Delegate):
        def __getattr__(self, name: str) -> Any:
            async def fail(*_: Any, **__: Any) -> Any:
                raise error

            return fail if name == request_name else super().__getattr__(name)

    with pytest.raises(SetupError) as ended:
        await check_store(Failing(backend.store), backend.bucket)
    [problem] = ended.value.problems
    assert problem.what.startswith("the store cannot ")
    assert str(error) in problem.what
    assert problem.fix
    assert await left(backend) == []


@pytest.mark.parametrize(
    ("member", "value", "says"),
    [
        ("get", (ObjectInfo(5, "other", "text/plain"), b"probe"), "its ETag is other"),
        ("get", (ObjectInfo(5, "e", "text/plain"), b"<html>"), "not the bytes that were put"),
        ("head", ObjectInfo(5, "other", "text/plain"), "its ETag is other"),
        ("head", ObjectInfo(6, "e", "text/plain"), "6 bytes, though 5 were put"),
        ("list", [], "not in the listing"),
    ],
)
async def test_what_comes_back_has_to_be_what_was_stored(backend: Backend, member: str, value: Any, says: str) -> None:
    class Other(Delegate):
        def __getattr__(self, name: str) -> Any:
            async def other(*_: Any, **__: Any) -> Any:
                return value

            return other if name == member else super().__getattr__(name)

    with pytest.raises(SetupError, match=says):
        await check_store(Other(backend.store), backend.bucket)


async def test_a_store_that_ignores_conditions_and_one_that_may_not_delete_are_warnings(backend: Backend) -> None:
    class Careless(Delegate):
        async def put(self, *args: Any, **options: Any) -> Any:
            return await self.target.put(*args, **(options | {"if_absent": False}))

    [warning] = (await check_store(Careless(backend.store), backend.bucket)).warnings
    assert "If-None-Match" in warning.what
    denying = Refusing(backend.store, lambda request, _: AccessDenied("no") if request == "delete" else None)
    [warning] = (await check_store(Listing(denying, backend), backend.bucket)).warnings
    assert "cannot delete" in warning.what
    assert "s3:DeleteObject" in warning.fix


class Listing(Delegate):
    """Lists by the real store: a listing has no key to refuse it by."""

    def __init__(self, target: Any, backend: Backend) -> None:
        super().__init__(target)
        self.list = backend.store.list
