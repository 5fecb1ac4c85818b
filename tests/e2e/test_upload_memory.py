"""An upload is in memory once, on its way to S3: what the serving process takes at its most, above what it has idle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import pytest

from support.pictures import images
from support.replicas.replica import resident_bytes
from thumbq.pool.procfs import forget_peak, peak_resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.figures import AtMost
    from support.replicas.place import Place
    from support.replicas.replica import Replica

pytestmark = [pytest.mark.measured, pytest.mark.parametrize("place", ["aws"], indirect=True)]

MIB: Final = 1 << 20
MB: Final = 1_000_000


def padded(size: int) -> bytes:
    """Return a picture with so many bytes behind it that it is a file of this size."""
    return images.small_jpeg().ljust(size, b"\0")


async def peak_of(replica: Replica, place: Place, body: bytes, times: int) -> int:
    """Upload a file so often at once and return the most that the serving process had."""
    forget_peak(replica.process.pid)
    async with anyio.create_task_group() as tasks:
        for _ in range(times):
            tasks.start_soon(place.upload, replica, body)
    peak = peak_resident_bytes(replica.process.pid)
    assert peak is not None
    return peak


async def test_an_upload_of_190_mb_takes_little_more_than_its_size(place: Place, at_most: AtMost) -> None:
    replica = await place.replica(max_upload_bytes=200 * MIB, max_uploads=1)
    await peak_of(replica, place, padded(10_000), 1)
    body = padded(190 * MB)
    idle = resident_bytes(replica.process.pid)
    peak = await peak_of(replica, place, body, 1)
    at_most(
        "bytes of the serving process above idle, for each byte of one upload of 190 MB",
        (peak - idle) / len(body),
        1.15,
    )


async def test_sixteen_uploads_of_24_mb_at_once_take_450_mb(
    place: Place, at_most: AtMost, record_property: Callable[[str, object], None]
) -> None:
    # As many as have room are whole in memory, and the others wait their turn.
    replica = await place.replica()
    await peak_of(replica, place, padded(10_000), 1)
    record_property("MB of the serving process when idle", round(resident_bytes(replica.process.pid) / MB))
    peak = await peak_of(replica, place, padded(24 * MB), 16)
    others = sum(map(resident_bytes, replica.children()))
    record_property("MB of all other processes", round(others / MB))
    at_most("MB of all processes, with 16 uploads of 24 MB at once", (peak + others) / MB, 450)
