"""Replicas in front of S3 and SQS that refuse some requests, or all, or whose answers lack something."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import anyio
import pytest

from support.patience import until
from support.pictures import images
from support.replicas.place import queued
from thumbq.core import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from support.figures import AtMost
    from support.replicas.place import Place
    from support.replicas.replica import Replica
    from support.servers.fault_proxy import Asked, FaultProxy

pytestmark = pytest.mark.chaos


def of_originals(ids: Sequence[str], status: int, code: str) -> Callable[[Asked], tuple[int, str] | None]:
    """Refuse the originals of some jobs, and nothing else."""
    paths = tuple(f"/{keys.upload_key(job_id)}" for job_id in ids)

    def refused(asked: Asked) -> tuple[int, str] | None:
        wanted = asked.service == "s3" and asked.operation in {"GET", "HEAD"}
        return (status, code) if wanted and asked.path.partition("?")[0].endswith(paths) else None

    return refused


async def all_queued(place: Place, count: int) -> list[str]:
    async with place.backend() as backend:
        return await queued(backend, [images.small_jpeg()] * count)


async def done(replica: Replica, ids: Sequence[str], *, within_s: float = 30) -> dict[str, int]:
    """Wait until jobs are done, and return at which receive each was."""

    def receives() -> dict[str, int] | None:
        found = {line["job_id"]: line["receive_count"] for line in replica.events("job.done")}
        return found if found.keys() >= set(ids) else None

    found: dict[str, int] = await until(
        receives, within_s=within_s, what=lambda: f"{len(ids)} jobs\n{replica.stderr()}"
    )
    return {job_id: found[job_id] for job_id in ids}


async def upload(place: Place, replica: Replica) -> tuple[int, Any]:
    form = aiohttp.FormData()
    form.add_field("file", images.small_jpeg(), filename="a.jpg")
    async with place.session.post(f"{replica.url}/upload", data=form) as answer:
        return answer.status, (await answer.json())["code"] if answer.status >= 400 else None


def no_bug(replica: Replica) -> None:
    assert replica.process.poll() is None, replica.stderr()
    assert "Traceback" not in replica.stderr()
    assert not [line for line in replica.lines() if "exception" in line or line["event"].endswith(".bug")]


async def test_jobs_beside_a_fifth_that_s3_denies_are_all_done_at_their_first_receive(
    place: Place, proxy: FaultProxy, form: str, figure: Callable[[str, object], None]
) -> None:
    ids = await all_queued(place, 480 if form == "full" else 60)
    bad = ids[::5]
    good = [job_id for job_id in ids if job_id not in bad]
    proxy.refused = of_originals(bad, 403, "AccessDenied")
    replica = await place.replica(endpoint=await proxy.endpoint("a"), wait_time_s=1)
    assert set((await done(replica, good)).values()) == {1}
    probes = [asked for asked in proxy.asked if asked.operation == "PUT" and asked.path.endswith(keys.PROBE_KEY)]
    receives = proxy.counts("sqs")["ReceiveMessage"]
    figure("good jobs done beside the denied ones, probes, receives", (len(good), len(bad), len(probes), receives))
    assert len(probes) <= receives
    assert not replica.events("receive.paused")
    proxy.refused = lambda _: None
    await done(replica, bad, within_s=60)
    no_bug(replica)


@pytest.mark.measured
async def test_jobs_beside_a_fifth_that_s3_denies_take_hardly_longer(
    place: Place, proxy: FaultProxy, at_most: AtMost
) -> None:
    async def takes_s(*, denied: bool) -> float:
        ids = await all_queued(place, 200)
        bad = ids[::5] if denied else []
        good = [job_id for job_id in ids if job_id not in bad]
        proxy.refused = of_originals(bad, 403, "AccessDenied")
        replica = await place.replica(endpoint=await proxy.endpoint(f"denied-{denied}"), wait_time_s=1)
        began_at = anyio.current_time()
        await done(replica, good[:160], within_s=60)
        took_s = anyio.current_time() - began_at
        await done(replica, good, within_s=60)
        replica.process.terminate()
        await replica.ended(within_s=20)
        return took_s

    without_s = await takes_s(denied=False)
    with_s = await takes_s(denied=True)
    at_most("time of 160 jobs beside 40 denied ones, over that of 160 others", with_s / without_s, 1.5)


async def test_archived_originals_fail_at_once_beside_the_others(place: Place, proxy: FaultProxy) -> None:
    ids = await all_queued(place, 12)
    proxy.refused = of_originals(ids[:4], 403, "InvalidObjectState")
    replica = await place.replica(endpoint=await proxy.endpoint("a"), wait_time_s=1)
    assert set((await done(replica, ids[4:])).values()) == {1}
    await until(lambda: len(replica.events("job.failed")) == 4, within_s=20, what="four failures")
    failed = replica.events("job.failed")
    assert {(line["code"], line["receive_count"]) for line in failed} == {("source-archived", 1)}
    no_bug(replica)


REFUSALS: Final = [
    (301, "PermanentRedirect"),
    (400, "AuthorizationHeaderMalformed"),
    (400, "BadDigest"),
    (400, "KMS.KMSInvalidStateException"),
    (400, "KMS.NotFound"),
    (400, "KMS.DisabledException"),
]


async def test_while_s3_refuses_everybody_uploads_are_503_and_no_message_moves(place: Place, proxy: FaultProxy) -> None:
    replica = await place.replica(endpoint=await proxy.endpoint("a"), wait_time_s=1, concurrency=4)
    for refusal in REFUSALS:
        proxy.refused = partial(of_everything, refusal)
        assert await upload(place, replica) == (503, "backend-refused"), refusal
    ids = await all_queued(place, 20)
    await until(lambda: len(replica.events("store.away")) >= 3, within_s=30, what=lambda: f"probes\n{replica.stderr()}")
    assert await upload(place, replica) == (503, "backend-refused")
    counts = await place.counts()
    assert (counts.visible + counts.in_flight, counts.dead) == (20, 0)
    assert all("KMS.DisabledException" in line["error"] for line in replica.events("receive.paused"))
    refused = [line for line in replica.events("http.request") if line["status"] == 503]
    assert [line["code"] for line in refused] == ["backend-refused"] * (len(REFUSALS) + 1)
    assert all("KMS.DisabledException" in line["error"] for line in refused[-1:])
    assert {line["code"] for line in replica.events("request.refused")} == {"backend-refused"}
    assert len(replica.events("request.refused")) < len(refused), "one a minute"
    proxy.refused = lambda _: None
    receives = await done(replica, ids)
    assert sum(receives.values()) <= len(ids) + 4, "those in flight"
    assert max(receives.values()) <= 2
    no_bug(replica)


def of_everything(refusal: tuple[int, str], asked: Asked) -> tuple[int, str] | None:
    return refusal if asked.service == "s3" else None


async def test_while_sqs_refuses_everybody_uploads_are_503_and_the_replica_goes_on(
    place: Place, proxy: FaultProxy
) -> None:
    replica = await place.replica(endpoint=await proxy.endpoint("a"), wait_time_s=1)
    [slow] = [await place.upload(replica, images.small_jpeg())]
    await done(replica, [slow])
    proxy.refused = lambda asked: (400, "KmsDisabled") if asked.service == "sqs" else None
    assert await upload(place, replica) == (503, "backend-refused")
    await until(lambda: len(replica.events("receive.failed")) >= 2, within_s=20, what="failed receives")
    proxy.refused = lambda _: None
    await done(replica, [await place.upload(replica, images.small_jpeg())])
    no_bug(replica)


@pytest.mark.parametrize(
    ("without", "says"),
    [
        ("ETag", "the answer has no ETag"),
        # ``aws/test_events.py`` has it of the look-up alone.
        pytest.param("Attributes", "SQS does not say the ARN of queue", marks=pytest.mark.long),
    ],
)
async def test_a_server_that_leaves_out_what_is_needed_is_named_at_the_start(
    place: Place, proxy: FaultProxy, without: str, says: str
) -> None:
    proxy.without = frozenset({without})
    with pytest.raises(AssertionError, match="the replica ended with 2") as ended:
        await place.replica(endpoint=await proxy.endpoint("a"))
    assert says in str(ended.value)
    assert "Traceback" not in str(ended.value)


async def test_a_server_that_begins_to_leave_things_out_ends_no_replica_and_loses_no_message(
    place: Place, proxy: FaultProxy
) -> None:
    replica = await place.replica(endpoint=await proxy.endpoint("a"), wait_time_s=1)
    proxy.without = frozenset({"ETag", "Attributes"})
    ids = await all_queued(place, 12)
    assert await upload(place, replica) == (502, "backend-bad-answer")
    await until(lambda: replica.events("receive.paused"), within_s=20, what=lambda: f"a pause\n{replica.stderr()}")
    assert (await place.counts()).dead == 0
    proxy.without = frozenset({"Attributes"})
    await done(replica, ids)
    [warning] = [line for line in replica.events("service.warning") if "how often" in line["problem"]]
    assert "ApproximateReceiveCount" in warning["fix"]
    no_bug(replica)
