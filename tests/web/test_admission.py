"""Which uploads run, wait, are refused and are ended: on virtual time, with clients that send what they are told."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import anyio

from support.virtual_time import on_virtual_time
from thumbq.web.admission import ALLOWANCE_BYTES, RunningUploads
from thumbq.web.problems import ProblemRaised
from thumbq.web.uploadlimits import UploadLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.abc import TaskGroup

    from thumbq.web.admission import RunningUpload

MIB = 1 << 20
LIMITS = UploadLimits(max_file_bytes=MIB, max_concurrent=4, max_waiting=3, queue_s=5.0)


@dataclass
class Body:
    total_bytes: int = 0


@dataclass
class Door:
    """Uploads by their names, and how each has ended: "stored", or the code of its problem."""

    uploads: RunningUploads = field(default_factory=lambda: RunningUploads(LIMITS))
    ends: dict[str, str] = field(default_factory=dict)
    ended_at: dict[str, float] = field(default_factory=dict)

    async def upload(self, name: str, size: int, *, rate: float, stores_s: float = 0.0) -> None:
        """Send so many bytes at this rate, eight times a second, and store them for some seconds."""
        with self._told(name), self._open(size) as (upload, body):
            while body.total_bytes < size:
                with upload.waiting():
                    await anyio.sleep(1 / 8)
                body.total_bytes = min(size, body.total_bytes + max(1, int(rate / 8)))
                await upload.hold(body.total_bytes, at_most=LIMITS.max_file_bytes)
            await anyio.sleep(stores_s)

    def begin(self, tasks: TaskGroup, name: str, size: int, **how: Any) -> None:
        tasks.start_soon(lambda: self.upload(name, size, **how))

    @contextmanager
    def _open(self, size: int) -> Iterator[tuple[RunningUpload, Body]]:
        body = Body()
        with self.uploads.upload(cast("Any", body), size) as upload:
            yield upload, body

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
            self.ends[name] = "stored"
        except ProblemRaised as error:
            self.ends[name] = error.problem.code
        self.ended_at[name] = anyio.current_time()

    async def all_room_is_free(self) -> bool:
        with anyio.move_on_after(0), self._open(LIMITS.memory_bytes) as (upload, _):
            await upload.hold(LIMITS.memory_bytes, at_most=LIMITS.memory_bytes)
            return True
        return False


FAST = 100 * MIB


def test_small_uploads_need_no_room() -> None:
    async def work() -> None:
        door = Door()
        async with anyio.create_task_group() as tasks:
            for number in range(LIMITS.max_concurrent):
                door.begin(tasks, f"large {number}", MIB, rate=FAST, stores_s=4)
            await anyio.sleep(1)
            for number in range(1000):
                door.begin(tasks, f"small {number}", ALLOWANCE_BYTES, rate=FAST)
        assert set(door.ends.values()) == {"stored"}
        assert max(at for name, at in door.ended_at.items() if "small" in name) < 1.5

    on_virtual_time(work)


def test_uploads_share_the_room_by_bytes() -> None:
    async def work() -> None:
        door = Door()
        async with anyio.create_task_group() as tasks:
            for number in range(2 * LIMITS.max_concurrent):
                door.begin(tasks, str(number), MIB // 2, rate=FAST, stores_s=4)
        assert set(door.ends.values()) == {"stored"}
        assert max(door.ended_at.values()) < 4.5

    on_virtual_time(work)


def test_without_room_they_wait_their_turn_and_no_longer_than_is_honest() -> None:
    async def work() -> None:
        door = Door()
        async with anyio.create_task_group() as tasks:
            for number, stores_s in enumerate((2, 3, 20, 20)):
                door.begin(tasks, f"running {number}", MIB, rate=FAST, stores_s=stores_s)
            await anyio.sleep(1)
            for number in range(LIMITS.max_waiting + 1):
                door.begin(tasks, f"waiting {number}", MIB, rate=FAST, stores_s=20)
                await anyio.sleep(0.1)
        assert [door.ends[f"waiting {number}"] for number in range(4)] == ["stored", "stored", "busy", "busy"]
        assert door.ended_at["waiting 3"] < 2  # there were as many as may wait
        assert 6 < door.ended_at["waiting 2"] < 6.6
        assert await door.all_room_is_free()

    on_virtual_time(work)


def test_the_slowest_are_ended_while_others_wait_for_their_room() -> None:
    async def work() -> None:
        door = Door()
        async with anyio.create_task_group() as tasks:
            for number in range(LIMITS.max_concurrent - 1):
                door.begin(tasks, f"slow {number}", MIB, rate=(number + 10) * 1024)
            await anyio.sleep(5)  # for more than ALLOWANCE_BYTES
            door.begin(tasks, "in pace", MIB, rate=40 * 1024)
            await anyio.sleep(5)
            assert not door.ends
            for number in range(2):
                door.begin(tasks, f"honest {number}", MIB, rate=FAST, stores_s=1)
        assert {name: end for name, end in door.ends.items() if end != "stored"} == {
            "slow 0": "upload-too-slow",
            "slow 1": "upload-too-slow",
        }
        assert max(door.ended_at[f"honest {number}"] for number in range(2)) < 11.5
        assert await door.all_room_is_free()

    on_virtual_time(work)


def test_nobody_is_ended_in_vain() -> None:
    async def work() -> None:
        door = Door()
        async with anyio.create_task_group() as tasks:
            door.begin(tasks, "slow", MIB // 4, rate=12 * 1024)
            for number in range(LIMITS.max_concurrent):
                door.begin(tasks, f"in pace {number}", MIB - MIB // 16, rate=100 * 1024)
            await anyio.sleep(5)
            door.begin(tasks, "honest", MIB, rate=FAST)
            await anyio.sleep(4)
            assert not door.ends
        assert set(door.ends.values()) == {"stored"}

    on_virtual_time(work)


def test_a_client_that_was_fast_once_is_slow_when_it_trickles() -> None:
    async def work() -> None:
        door = Door()

        async def burst_then_trickle(name: str) -> None:
            with door._told(name), door._open(MIB) as (upload, body):
                for sent in (MIB // 2, *range(MIB // 2 + 1, MIB)):
                    with upload.waiting():
                        await anyio.sleep(1)
                    body.total_bytes = sent
                    await upload.hold(sent, at_most=MIB)

        async with anyio.create_task_group() as tasks:
            for number in range(LIMITS.max_concurrent):
                tasks.start_soon(burst_then_trickle, f"slow {number}")
            await anyio.sleep(10)
            door.begin(tasks, "honest", MIB, rate=FAST)
            await anyio.sleep(2)
            assert door.ends.pop("honest") == "stored"
            assert list(door.ends.values()) == ["upload-too-slow"]
            tasks.cancel_scope.cancel()
        assert await door.all_room_is_free()

    on_virtual_time(work)


def test_at_the_stop_those_that_wait_are_ended_and_what_is_being_stored_is_stored() -> None:
    async def work() -> None:
        door = Door()
        async with anyio.create_task_group() as tasks:
            for number in range(LIMITS.max_concurrent):
                door.begin(tasks, f"storing {number}", MIB, rate=FAST, stores_s=5)
            await anyio.sleep(1)
            door.begin(tasks, "for room", MIB, rate=FAST)
            door.begin(tasks, "for bytes", 10_000, rate=1)
            await anyio.sleep(1)
            door.uploads.cut_off()
            await anyio.sleep(1)
            door.begin(tasks, "later", 10, rate=FAST)
            await door.uploads.idle()
        assert door.ended_at["for room"] == door.ended_at["for bytes"] == 2
        assert {name for name, end in door.ends.items() if end == "stopping"} == {"for room", "for bytes", "later"}

    on_virtual_time(work)


def test_room_that_was_granted_to_one_who_left_is_given_on() -> None:
    async def work() -> None:
        door = Door()
        async with anyio.create_task_group() as tasks:
            door.begin(tasks, "all", MIB, rate=FAST, stores_s=2)
            for number in range(LIMITS.max_concurrent - 1):
                door.begin(tasks, str(number), MIB, rate=FAST, stores_s=100)
            await anyio.sleep(1)
            leaving = anyio.CancelScope()

            async def leave() -> None:
                with leaving:
                    await door.upload("leaves", MIB, rate=FAST)

            tasks.start_soon(leave)
            await anyio.sleep(0.5)
            door.begin(tasks, "next", MIB, rate=FAST)
            leaving.cancel()
            await anyio.sleep(2)
            assert door.ends["next"] == "stored"
            assert "leaves" not in door.ends
        assert await door.all_room_is_free()

    on_virtual_time(work)
