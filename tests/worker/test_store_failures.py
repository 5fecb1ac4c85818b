"""What the store refuses of one job costs that job; what it refuses to everybody costs nobody more than an attempt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest
from structlog.testing import capture_logs

from support.aws.event_bodies import record as record_of
from support.aws.event_bodies import s3_event
from support.doubles.clocks import SystemClock
from support.doubles.consuming import (
    Delegate,
    Refusing,
    buried,
    consuming,
    done,
    put,
    record,
    settled,
    upload,
)
from support.doubles.rendering import FakeRenderer
from support.patience import until
from thumbq.core import keys
from thumbq.errors import AccessDenied, BackendRefused, BackendUnavailable, BadAnswer, ObjectArchived
from thumbq.jobs.storehealth import StoreHealth

if TYPE_CHECKING:
    from pathlib import Path

    from thumbq.core.job import ObjectRef
    from thumbq.ports import Backend

GOOD: Final = [f"uploads/good-{number}" for number in range(16)]
BAD: Final = [f"uploads/bad-{number}" for number in range(4)]

DENIED = AccessDenied("get images/k: AccessDenied: Access Denied")
DISABLED = BackendRefused("get images/k: KMS.DisabledException: the key is disabled")
FAULT = BackendUnavailable("get images/k: InternalError")


async def mixed(backend: Backend) -> None:
    """Queue bad and good jobs, three bad ones first."""
    for name in (*BAD[:3], *GOOD[:8], *BAD[3:], *GOOD[8:]):
        await upload(backend, name)


def refusing(backend: Backend, error: Exception, *requests: str, named: str = "bad") -> Backend:
    """Return a backend whose store answers such requests, about a key that is ``named`` so, with an error."""
    store = Refusing(backend.store, lambda request, key: error if request in requests and named in key else None)
    return replace(backend, store=store)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error for a request about keys that are ``named`` so, and the code that their jobs end with."""

    request: str
    named: str
    error: Exception
    code: str


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("fetch", "bad", DENIED, "source-denied"),
        Refusal("fetch", "bad", DISABLED, "source-denied"),
        Refusal("fetch", "bad", FAULT, "attempts-exhausted"),
        Refusal("fetch", "bad", BadAnswer("get images/k: the answer has no ETag"), "attempts-exhausted"),
        Refusal("put", "thumbnail/bad", DENIED, "attempts-exhausted"),
        Refusal("put", "thumbnail/bad", DISABLED, "attempts-exhausted"),
    ],
    ids=lambda refusal: f"{refusal.request}-{type(refusal.error).__name__}",
)
async def test_what_is_refused_of_some_jobs_costs_the_others_nothing_and_ends_with_what_the_store_said(
    backend: Backend, tmp_path: Path, refusal: Refusal
) -> None:
    refused = refusing(backend, refusal.error, refusal.request, named=refusal.named)
    await mixed(backend)
    with capture_logs() as logs:
        async with consuming(refused, FakeRenderer(), max_receive_count=3):
            await settled(backend, dead=len(BAD), within_s=60)
    assert [(await done(backend, name)).receive_count for name in GOOD] == [1] * len(GOOD)
    assert not [line for line in logs if line["event"] in {"receive.paused", "store.away"}]
    letters = buried(tmp_path)
    assert {note.code for _, note in letters} == {refusal.code}
    assert all(str(refusal.error) in note.reason for _, note in letters)
    for name in BAD:
        found = await record(backend, name)
        assert found is not None
        assert found.error is not None
        assert (found.error.code, found.receive_count) == (refusal.code, 3)


async def test_a_manifest_that_may_not_be_read_costs_its_own_job(backend: Backend) -> None:
    refused = refusing(backend, DENIED, "get", named="manifests/uploads/bad")
    await mixed(backend)
    async with consuming(refused, FakeRenderer()):
        await until(partial(all_done, backend), within_s=20, what="all the good ones")
    assert [(await done(backend, name)).receive_count for name in GOOD] == [1] * len(GOOD)


async def all_done(backend: Backend) -> bool:
    found = [await record(backend, name) for name in GOOD]
    return all(one is not None and one.status == "done" for one in found)


async def test_an_original_whose_attributes_are_denied_ends_as_denied(backend: Backend, tmp_path: Path) -> None:
    await put(backend, "inbox/bad")
    await backend.queue.send("inbox/bad")
    async with consuming(refusing(backend, AccessDenied("head: 403"), "head"), FakeRenderer(), max_receive_count=2):
        await settled(backend, dead=1)
    assert [note.code for _, note in buried(tmp_path)] == ["source-denied"]


async def test_an_archived_original_fails_at_once_and_says_what_to_do(backend: Backend, tmp_path: Path) -> None:
    archived = ObjectArchived("get images/k: InvalidObjectState: not valid for the object's storage class")
    await mixed(backend)
    async with consuming(refusing(backend, archived, "fetch"), FakeRenderer()):
        await settled(backend, dead=len(BAD))
    assert [(await done(backend, name)).receive_count for name in GOOD] == [1] * len(GOOD)
    for _, note in buried(tmp_path):
        assert (note.code, note.receive_count) == ("source-archived", 1)
        assert "restore it, then redrive" in note.reason
        assert "InvalidObjectState" in note.reason


async def test_a_denied_job_on_trial_after_an_outage_is_no_new_outage(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumbq.worker.receiver._MAX_PAUSE_S", 0.2)
    over = False

    def says(request: str, key: str) -> Exception | None:
        if not over:
            return FAULT
        return DENIED if request == "fetch" and "bad" in key else None

    store = Refusing(backend.store, says)
    await mixed(backend)
    with capture_logs() as logs:
        async with consuming(replace(backend, store=store), FakeRenderer()):
            await until(lambda: store.probes >= 3, within_s=20, what="an outage")
            over = True
            await until(partial(all_done, backend), within_s=20, what="all the good ones")
    assert [line["event"] for line in logs].count("store.back") == 1
    assert [line["event"] for line in logs].count("receive.paused") == 1


async def test_the_log_says_what_the_store_said(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbq.worker.receiver._MAX_PAUSE_S", 0.2)
    store = Refusing(backend.store, lambda *_: DISABLED)
    await mixed(backend)
    with capture_logs() as logs:
        async with consuming(replace(backend, store=store), FakeRenderer()):
            await until(lambda: store.probes >= 2, within_s=20, what="an outage")
    [paused] = [line for line in logs if line["event"] == "receive.paused"]
    assert paused["error"] == str(DISABLED)


async def test_there_is_one_probe_at_a_time_for_all_who_ask_and_none_without_a_failure(backend: Backend) -> None:
    class Slow(Delegate):
        async def put(self, *args: Any, **options: Any) -> Any:
            await anyio.sleep(1)
            return await self.target.put(*args, **options)

    store = Refusing(Slow(backend.store), lambda *_: None)
    health = StoreHealth(store, backend.bucket, SystemClock())

    async def all_look() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(health.look)

    await all_look()
    assert store.probes == 0
    for _ in range(100):
        health.failed()
    await all_look()
    assert (store.probes, health.outage) == (1, None)
    health.failed()
    health.answered()
    await all_look()
    assert store.probes == 1


async def test_a_message_with_many_denied_jobs_is_not_as_many_probes(backend: Backend) -> None:
    refused = refusing(backend, DENIED, "fetch")
    for number in range(50):
        await put(backend, f"in/bad-{number}")
    await backend.queue.send(s3_event(*(record_of(backend.bucket, f"in/bad-{number}") for number in range(50))))
    async with consuming(refused, FakeRenderer(), max_receive_count=1):
        await settled(backend, dead=1)
    assert isinstance(refused.store, Refusing)
    assert refused.store.probes <= 1


async def test_a_probe_that_reads_other_bytes_than_it_has_put_is_an_outage(backend: Backend) -> None:
    class Page(Delegate):
        async def get(self, ref: ObjectRef, **options: Any) -> Any:
            info, body = await self.target.get(ref, **options)
            return (info, b"<html>") if ref.key == keys.PROBE_KEY else (info, body)

    health = StoreHealth(Page(backend.store), backend.bucket, SystemClock())
    health.failed()
    await health.look()
    assert health.outage is not None
    assert "these are not the bytes that were put" in health.outage.error
