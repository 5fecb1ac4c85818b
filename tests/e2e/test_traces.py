"""One trace from an upload through two processes to rendition, callback and event, as a collector is told of it."""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import anyio
import pytest
from aiobotocore.session import AioSession

from support.patience import until
from support.pictures import images
from support.replicas.replica import THUMBQ
from support.servers.collector import collecting
from support.servers.emulators import REGION, aws_env, without_aws
from support.servers.endpoint import LOOPBACK, listening, write_table
from thumbq.core import tracecontext
from thumbq.core.tracecontext import TraceContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.replicas.place import Place
    from support.replicas.replica import Replica
    from support.servers.collector import Collected

ACCOUNT = "123456789012"
CLIENT = "b7ad6b7169203331"
"""The span of the client that uploads."""


async def thumbq(place: Place, *arguments: str) -> None:
    done = await anyio.run_process([THUMBQ, *arguments], env=without_aws(os.environ) | place.environment, check=False)
    assert done.returncode == 0, done.stderr.decode()


async def upload(place: Place, replica: Replica, body: bytes) -> str:
    """Upload as a client with traces of its own does, and return the id of its trace."""
    trace_id = secrets.token_hex(16)
    form = aiohttp.FormData()
    form.add_field("file", body, filename="photo.jpg")
    headers = {"traceparent": f"00-{trace_id}-{CLIENT}-01", "tracestate": "vendor=1"}
    async with place.session.post(f"{replica.url}/upload", data=form, headers=headers) as answer:
        assert answer.status == 201
    return trace_id


async def stopped(replica: Replica) -> None:
    replica.signal(signal.SIGTERM)
    assert await replica.ended(within_s=20) == 0, replica.stderr()


def loads_protobuf(pid: int) -> bool:
    """Whether a process has loaded what spans are exported in."""
    return "google/_upb" in Path(f"/proc/{pid}/maps").read_text()


def named(spans: Sequence[Collected], name: str) -> Collected:
    """Return the first span of a name that has ended."""
    found = [span for span in spans if span.name == name]
    assert found, (name, [span.name for span in spans])
    return found[0]


def instance(span: Collected) -> str:
    """Return which replica a span is of."""
    assert span.resource["service.name"] == "thumbq"
    return str(span.resource["service.instance.id"])


async def with_everything(place: Place, file: Path, *, callbacks: str, collector: str) -> str:
    """Have callbacks, events and traces, and return the URL of the queue that is told of events."""
    told = f"{place.environment['THUMBQ_BUCKET']}-told"
    write_table(file, callbacks)
    place.environment |= {
        "THUMBQ_CONFIG": str(file),
        "THUMBQ_WEBHOOK_SECRETS": "whsec_" + "QUFB" * 11,
        "THUMBQ_EVENTS": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{told}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
    }
    await thumbq(place, "setup")
    with aws_env(place.environment["AWS_ENDPOINT_URL"]):
        async with AioSession().create_client("sqs", region_name=REGION) as sqs:
            return (await sqs.create_queue(QueueName=told))["QueueUrl"]


async def heard(place: Place, url: str) -> TraceContext | None:
    """Return the trace that the event in a queue comes with."""
    with aws_env(place.environment["AWS_ENDPOINT_URL"]):
        async with AioSession().create_client("sqs", region_name=REGION) as sqs:
            answer = await sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])
    return tracecontext.of_message(answer["Messages"][0]["MessageAttributes"])


def check_upload(spans: Sequence[Collected], queue: str) -> Collected:
    """Look at what an upload has said, and return the span that sends its message."""
    server, send, put = (named(spans, name) for name in ("POST /upload", f"send {queue}", "S3.PutObject"))
    assert (server.kind, server.parent_id) == ("SERVER", CLIENT)
    assert server.attributes["http.response.status_code"] == 201
    assert (send.kind, send.parent_id) == ("PRODUCER", server.span_id)
    assert (put.kind, put.parent_id) == ("CLIENT", server.span_id)
    said = {
        "rpc.system": "aws-api",
        "rpc.method": "PutObject",
        "aws.s3.bucket": queue,
        "http.response.status_code": 200,
    }
    assert said.items() <= put.attributes.items()
    return send


def check_job(spans: Sequence[Collected], queue: str, send: Collected) -> Collected:
    """Look at what a job has said, and return the span of its message."""
    process = named(spans, f"process {queue}")
    assert instance(process) != instance(send)
    assert (process.kind, process.parent_id) == ("CONSUMER", send.span_id)
    assert process.links == ((send.trace_id, send.span_id),)
    for span, operation in ((send, "send"), (process, "process")):
        assert span.attributes["messaging.message.id"] == process.attributes["messaging.message.id"]
        assert span.attributes["messaging.system"] == "aws_sqs"
        assert span.attributes["messaging.destination.name"] == queue
        assert span.attributes["messaging.operation.name"] == operation
        assert span.attributes["messaging.operation.type"] == operation
    for stage in ("fetch", "render", "store"):
        assert named(spans, stage).parent_id == process.span_id
    [get] = [span for span in spans if span.parent_id == named(spans, "fetch").span_id]
    [put] = [span for span in spans if span.parent_id == named(spans, "store").span_id]
    assert (get.name, put.name) == ("S3.GetObject", "S3.PutObject")
    return process


def check_callback(spans: Sequence[Collected], process: Collected) -> Collected:
    """Look at what a callback has said, and return the span of its call."""
    [send] = [span for span in spans if span.name.startswith("send ") and "webhooks" in span.name]
    calling, call = named(spans, send.name.replace("send", "process")), named(spans, "POST")
    assert (send.kind, send.parent_id) == ("PRODUCER", process.span_id)
    assert (calling.kind, calling.parent_id, calling.links) == (
        *("CONSUMER", send.span_id),
        ((send.trace_id, send.span_id),),
    )
    assert (call.kind, call.parent_id) == ("CLIENT", calling.span_id)
    assert call.attributes["http.response.status_code"] == 204
    return call


@pytest.mark.long
@pytest.mark.parametrize("place", ["aws"], indirect=True)
async def test_one_trace_from_the_upload_through_two_processes_to_rendition_callback_and_event(
    place: Place, tmp_path: Path
) -> None:
    queue = place.environment["THUMBQ_BUCKET"]
    async with collecting() as collector, listening() as endpoint:
        url = await with_everything(place, tmp_path / "thumbq.toml", callbacks=endpoint.url, collector=collector.url)
        await thumbq(place, "pause")
        uploading = await place.replica(program=LOOPBACK, wait_time_s=1)
        trace_id = await upload(place, uploading, images.photo_jpeg(120, 90))
        await stopped(uploading)  # which exports what is left
        send = check_upload(collector.of(trace_id), queue)
        await thumbq(place, "resume")
        working = await place.replica(program=LOOPBACK, wait_time_s=1)
        await until(lambda: endpoint.calls, within_s=30, what=lambda: f"a call\n{working.stderr()}")
        await place.queue_empty(within_s=20)
        assert loads_protobuf(working.process.pid)
        assert not any(map(loads_protobuf, working.children()))
        await stopped(working)
        spans = collector.of(trace_id)
        process = check_job(spans, queue, send)
        call = check_callback(spans, process)
        [(headers, _)] = endpoint.calls
        assert (headers["traceparent"], headers.get("tracestate")) == (f"00-{trace_id}-{call.span_id}-01", None)
        event = named(spans, f"send {queue}-told")
        assert (event.kind, event.parent_id) == ("PRODUCER", process.span_id)
        assert await heard(place, url) == TraceContext(f"00-{trace_id}-{event.span_id}-01", "vendor=1")
    assert {line["trace_id"] for line in working.events("job.done")} == {trace_id}


@pytest.mark.long
@pytest.mark.parametrize("place", ["local", "aws"], indirect=True)
async def test_a_message_that_is_buried_and_redriven_stays_in_its_trace(place: Place) -> None:
    queue = place.environment.get("THUMBQ_BUCKET", "local")
    async with collecting() as collector:
        place.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        replica = await place.replica(wait_time_s=1)
        trace_id = await upload(place, replica, images.truncated_jpeg())
        await until(lambda: replica.events("message.buried"), within_s=20, what=replica.stderr)
        await stopped(replica)
        await thumbq(place, "dlq", "redrive", "--all")
        other = await place.replica(wait_time_s=1)
        await until(lambda: other.events("message.buried"), within_s=20, what=other.stderr)
        await stopped(other)
        spans = collector.of(trace_id)
    send = named(spans, f"send {queue}")
    tries = [span for span in spans if span.name == f"process {queue}"]
    assert [(span.parent_id, span.links) for span in tries] == [(send.span_id, ((trace_id, send.span_id),))] * 2
    assert {span.attributes["error.type"] for span in tries} == {"truncated"}
    assert {line["trace_id"] for line in other.events("message.buried")} == {trace_id}


@pytest.mark.long
@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_a_collector_that_is_away_costs_no_job_and_no_stop(place: Place) -> None:
    async with listening() as found:  # a port that is free
        place.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = found.url
    replica = await place.replica(shutdown_deadline_s=20)
    for _ in range(3):
        job_id = await place.upload(replica, images.photo_jpeg(120, 90))
        assert (await place.finished(replica, job_id, within_s=20))["status"] == "done"
    await stopped(replica)
    assert not replica.events("service.stop_hung")
