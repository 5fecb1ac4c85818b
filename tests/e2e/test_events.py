"""Events from real replicas: kill -9 between any two steps of a job's end, and a topic, a queue and a bus behind it."""

from __future__ import annotations

import json
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest
from aiobotocore.session import AioSession

from support.patience import until
from support.pictures import images
from support.servers.emulators import REGION, aws_env
from support.servers.fault_proxy import Asked, Fault, FaultProxy
from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import web

    from support.replicas.place import Place
    from thumbq.ports import Backend

ACCOUNT = "123456789012"
WAYS = ("topic", "queue", "bus")


def is_put_of(folder: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.operation == "PUT" and f"/{folder}/" in asked.path


STEPS: dict[str, Callable[[Asked], bool]] = {
    "rendition": is_put_of("thumbnail"),
    "manifest": is_put_of("manifests"),
    "topic": lambda asked: asked.operation.startswith("Publish"),
    "queue": lambda asked: asked.operation.startswith("SendMessage") and "-told" in asked.body,
    "bus": lambda asked: asked.operation == "PutEvents",
    "delete": lambda asked: asked.operation.startswith("DeleteMessage"),
}


class HoldingProxy(FaultProxy):
    """Holds the first request of a step: before it is carried out, or with the answer when it has been."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.step: Callable[[Asked], bool] = lambda _: False
        self.first: Asked | None = None

    async def _answered(self, asked: Asked, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        if self.first is None and self.step(asked):
            self.first = asked
            asked.fault = Fault.STALL
        return await super()._answered(asked, request, body)


@asynccontextmanager
async def holding(target: str) -> AsyncIterator[HoldingProxy]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        proxy = HoldingProxy(target, session, Random(0))
        try:
            yield proxy
        finally:
            await proxy.close()


async def make_targets(clients: dict[str, Any], name: str) -> dict[str, str]:
    """Make what is told, with a queue behind each; return the URL of each queue."""
    urls, arns = {}, {}
    for way in WAYS:
        urls[way] = (await clients["sqs"].create_queue(QueueName=f"{name}-told-{way}"))["QueueUrl"]
        arns[way] = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-told-{way}"
    topic = (await clients["sns"].create_topic(Name=name))["TopicArn"]
    raw = {"RawMessageDelivery": "true", "FilterPolicy": '{"status": ["done"], "presets": ["thumbnail"]}'}
    await clients["sns"].subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns["topic"], Attributes=raw)
    await clients["events"].create_event_bus(Name=name)
    await clients["events"].put_rule(Name=name, EventBusName=name, EventPattern='{"source": ["thumbq"]}')
    await clients["events"].put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "1", "Arn": arns["bus"]}])
    return urls


async def let_be_received_often(sqs: Any, queue: str) -> None:
    """Let SQS move no message away: each replica that is to die may receive those of all before it."""
    url = (await sqs.get_queue_url(QueueName=queue))["QueueUrl"]
    found = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    policy = json.loads(found["Attributes"]["RedrivePolicy"]) | {"maxReceiveCount": 1000}
    await sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})


async def hear(sqs: Any, urls: dict[str, str], backend: Backend, told: dict[str, set[str]]) -> None:
    """Keep the ids of the jobs that each way tells of; each one's renditions can be read when it does."""
    while True:
        for way, url in urls.items():
            answer = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                body = json.loads(message["Body"])
                job = body["detail"] if way == "bus" else body
                key = keys.manifest_key(keys.upload_key(job["id"]))
                _, raw = await backend.store.get(ObjectRef(backend.bucket, key), max_bytes=1 << 20)
                manifest = Manifest.decode(raw)
                assert manifest is not None
                assert manifest.renditions.keys() == job["renditions"].keys() == {"thumbnail"}
                for rendition in manifest.renditions.values():
                    await backend.store.head(ObjectRef(rendition.bucket, rendition.key))
                told[way].add(job["id"])
        await anyio.sleep(0.2)


async def killed_at(step: Callable[[Asked], bool], place: Place, settings: dict[str, Any], *, carried_out: bool) -> str:
    """Upload to a replica that is killed at a step, and return the job's id."""
    async with holding(place.environment["AWS_ENDPOINT_URL"]) as proxy:
        replica = await place.replica(endpoint=await proxy.endpoint("dying"), **settings)
        if carried_out:
            proxy.step = step
        else:
            proxy.blocked = step
        job_id = await place.upload(replica, images.photo_jpeg(120, 90))

        def held() -> object:
            return proxy.first.answered_at if proxy.first else any(map(proxy.blocked, proxy.asked))

        await until(held, within_s=30, what=lambda: f"the step\n{replica.stderr()}")
        replica.signal(signal.SIGKILL)
        assert await replica.ended(within_s=20) == -signal.SIGKILL
        proxy.blocked = lambda _: False
    return job_id


@pytest.mark.long
@pytest.mark.parametrize("place", ["aws"], indirect=True)
async def test_a_kill_between_any_two_steps_costs_no_event_and_none_comes_before_its_picture(place: Place) -> None:
    url, name = place.environment["AWS_ENDPOINT_URL"], place.environment["THUMBQ_BUCKET"]
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}"
    arns = [f"arn:aws:sns:{REGION}:{ACCOUNT}:{name}", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-told-queue", bus]
    place.environment["THUMBQ_EVENTS"] = ",".join(arns)
    settings: dict[str, Any] = {"wait_time_s": 1, "visibility_timeout_s": 6, "heartbeat_s": 2, "processes": 1}
    told: dict[str, set[str]] = {way: set() for way in WAYS}
    async with AsyncExitStack() as stack:
        with aws_env(url):
            session = AioSession()
            clients: dict[str, Any] = {
                service: await stack.enter_async_context(session.create_client(service, region_name=REGION))
                for service in ("sns", "sqs", "events")
            }
        urls = await make_targets(clients, name)
        await let_be_received_often(clients["sqs"], place.environment["THUMBQ_QUEUE"])
        backend = await stack.enter_async_context(place.backend())
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(hear, clients["sqs"], urls, backend, told)
        jobs = {
            await killed_at(step, place, settings, carried_out=carried_out)
            for step in STEPS.values()
            for carried_out in (False, True)
        }
        heir = await place.replica(**settings)
        await place.queue_empty(within_s=60)
        await until(lambda: all(ids == jobs for ids in told.values()), within_s=20, what=lambda: f"{told} {jobs}")
        for job_id in jobs:
            assert (await place.job(heir, job_id))["status"] == "done"
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_a_local_directory_has_no_events_and_says_so_at_the_start(place: Place) -> None:
    replica = await place.replica(events=f"arn:aws:sns:{REGION}:{ACCOUNT}:pictures")
    job_id = await place.upload(replica, images.photo_jpeg(120, 90))
    assert (await place.finished(replica, job_id, within_s=20))["status"] == "done"
    [warning] = [line for line in replica.events("service.warning") if "THUMBQ_EVENTS" in line["problem"]]
    assert "not available on a local directory" in warning["problem"]
