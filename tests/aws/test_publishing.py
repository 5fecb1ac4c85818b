"""Events on SNS, SQS and EventBridge: what is asked of them, and what arrives behind them."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from aiobotocore.session import AioSession

from support.doubles.observing import Observed
from support.doubles.tracing import SENDER, TRACE_ID, attributes, span_id, traced
from support.servers.emulators import REGION, aws_environment
from support.servers.scripted import says, sqs_error, stalls
from thumbq.aws.eventtargets import open_targets
from thumbq.aws.provision import provision
from thumbq.aws.session import open_clients
from thumbq.backends import open_backends
from thumbq.core.job import ObjectRef
from thumbq.core.jobevent import JobEvent
from thumbq.errors import BackendUnavailable, NotSent, SendRefused, SetupError
from thumbq.ports.observing import Called, observed_by
from thumbq.ports.tracing import Handling, during
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.servers.scripted import Script
    from thumbq.ports import EventTarget

ELSEWHERE = "us-west-2"
ACCOUNT = "123456789012"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:ended"
BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/ended"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:ended"
DENIED = sqs_error(403, "AccessDeniedException")


def event(key: str = "uploads/x", *, status: str = "done", presets: tuple[str, ...] = ("small",)) -> JobEvent:
    return JobEvent(
        id=f"msg_{key.encode().hex()}",
        type=f"job.{status}",
        body=json.dumps({"id": key, "status": status}),
        source=ObjectRef("photos", key),
        status=status,
        presets=presets,
        ended_at=datetime(2026, 11, 29, 12, tzinfo=UTC),
    )


@asynccontextmanager
async def targets(*arns: str) -> AsyncIterator[tuple[EventTarget, ...]]:
    async with open_clients(connections=4, wait_time_s=0, events=arns) as clients:
        yield await open_targets(clients, arns, own=(), warn=None)


@asynccontextmanager
async def of_moto(*services: Any, region: str = REGION) -> AsyncIterator[list[Any]]:
    session = AioSession()
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(session.create_client(service, region_name=region)) for service in services
        ]


async def queue_of(sqs: Any, name: str) -> tuple[str, str]:
    attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    url = (await sqs.create_queue(QueueName=name, Attributes=attributes))["QueueUrl"]
    answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, answer["Attributes"]["QueueArn"]


async def arrived(sqs: Any, url: str) -> list[Any]:
    wanted = {"MessageAttributeNames": ["All"], "AttributeNames": ["All"], "MaxNumberOfMessages": 10}
    return list((await sqs.receive_message(QueueUrl=url, **wanted)).get("Messages", []))


async def test_a_topics_subscriptions_filter_on_the_attributes(moto: str, name: str) -> None:
    del moto
    async with of_moto("sns", "sqs", region=ELSEWHERE) as [sns, sqs]:
        topic = (await sns.create_topic(Name=name))["TopicArn"]
        policies: list[Any] = [{"status": ["failed"]}, {"presets": ["x"]}]
        policies.append({"presets": ["small"], "prefix": [{"prefix": "uploads/"}]})
        urls = []
        for number, policy in enumerate(policies):
            url, arn = await queue_of(sqs, f"{name}-{number}")
            attributes = {"FilterPolicy": json.dumps(policy), "RawMessageDelivery": "true"}
            await sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)
            urls.append(url)
        observed = Observed()
        with observed_by([observed]):
            async with targets(topic) as [target]:
                await asyncio.gather(
                    target.send(event("uploads/a", presets=("small", "large"))),
                    target.send(event("uploads/b", status="failed", presets=())),
                    target.send(event("pngfiles/c")),
                )
        found = [[json.loads(message["Body"])["id"] for message in await arrived(sqs, url)] for url in urls]
    assert found == [["uploads/b"], [], ["uploads/a"]]
    assert [each[:3] for each in observed.happened if isinstance(each, Called)] == [
        ("sns", "GetTopicAttributes", 200),
        ("sns", "PublishBatch", 200),
    ]


async def test_a_queue_has_the_same_attributes(moto: str, name: str) -> None:
    del moto
    async with of_moto("sqs") as [sqs]:
        url, arn = await queue_of(sqs, name)
        async with targets(arn) as [target]:
            await target.send(event())
        [message] = await arrived(sqs, url)
    assert json.loads(message["Body"]) == {"id": "uploads/x", "status": "done"}
    assert {name: (each["DataType"], each["StringValue"]) for name, each in message["MessageAttributes"].items()} == {
        "status": ("String", "done"),
        "presets": ("String.Array", '["small"]'),
        "prefix": ("String", "uploads/"),
    }


@pytest.mark.parametrize("through_topic", [False, True])
async def test_in_fifo_topics_and_queues_what_is_published_again_is_dropped(
    moto: str,
    name: str,
    through_topic: bool,  # noqa: FBT001
) -> None:
    del moto
    async with of_moto("sns", "sqs") as [sns, sqs]:
        url, arn = await queue_of(sqs, f"{name}.fifo")
        if through_topic:
            topic = (await sns.create_topic(Name=f"{name}.fifo", Attributes={"FifoTopic": "true"}))["TopicArn"]
            raw = {"RawMessageDelivery": "true"}
            await sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)
            arn = topic
        async with targets(arn) as [target]:
            for key in ("a b.jpg", "uploads/x", "a b.jpg"):
                await target.send(event(key))
        found = await arrived(sqs, url)
    assert [json.loads(message["Body"])["id"] for message in found] == ["a b.jpg", "uploads/x"]
    assert found[1]["Attributes"]["MessageGroupId"] == "uploads/x"


async def test_rules_of_a_bus_see_the_job_and_its_original(moto: str, name: str) -> None:
    del moto
    async with of_moto("sqs", "events") as [sqs, events]:
        bus = (await events.create_event_bus(Name=name))["EventBusArn"]
        url, arn = await queue_of(sqs, name)
        pattern = {
            "source": ["thumbq"],
            "detail-type": ["job.done"],
            "resources": [{"prefix": "arn:aws:s3:::photos/uploads/"}],
        }
        await events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps(pattern))
        await events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "1", "Arn": arn}])
        async with targets(bus) as [target]:
            sent = [event("uploads/a"), event("uploads/b", status="failed"), event("inbox/c"), event("uploads/d")]
            assert len(set(await asyncio.gather(*map(target.send, sent)))) == 4
        found = [json.loads(message["Body"]) for message in await arrived(sqs, url)]
    assert [(each["detail"]["id"], each["detail-type"]) for each in found] == [
        ("uploads/a", "job.done"),
        ("uploads/d", "job.done"),
    ]


async def test_all_that_are_missing_and_all_that_are_thumbqs_own_are_told_at_the_start(moto: str, name: str) -> None:
    del moto
    await provision(bucket=name, queues=[name])
    own = [f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}{ending}" for ending in ("", "-dlq")]
    missing = [arn.replace("ended", f"no-{name}") for arn in (TOPIC, QUEUE, BUS)]
    settings = Settings(bucket=name, queue=name, events=(*own, *missing))
    with pytest.raises(SetupError) as refusal:
        async with open_backends(settings):
            raise AssertionError
    told = sorted(problem.what for problem in refusal.value.problems)
    assert told == sorted(
        [
            *(f"{arn} is a queue of thumbq's own: events in it are no jobs" for arn in own),
            *(f"there is no {arn}" for arn in missing),
        ]
    )


async def test_they_are_told_together_with_what_is_wrong_with_bucket_and_queue(moto: str, name: str) -> None:
    del moto
    settings = Settings(bucket=name, queue=name, events=(TOPIC.replace("ended", name),))
    with pytest.raises(SetupError) as refusal:
        async with open_backends(settings):
            raise AssertionError
    whats = [problem.what for problem in refusal.value.problems]
    assert len(whats) == 3
    assert whats[-1] == f"there is no {settings.events[0]}"


async def test_what_may_not_be_looked_at_is_taken_to_be_there_and_what_does_not_answer_is_a_warning(
    script: Script,
) -> None:
    for operation in ("POST /", "GetQueueUrl", "AWSEvents.DescribeEventBus"):
        script.when(operation, DENIED)
    async with targets(TOPIC, QUEUE, BUS) as opened:
        assert len(opened) == 3
        script.when("SendMessage", says(200, {"MessageId": "m", "MD5OfMessageBody": "x"}))
        assert await opened[1].send(event()) == "m"
    assert json.loads(script.requests[-1][1])["QueueUrl"].endswith(f"/{ACCOUNT}/ended")
    warnings: list[Any] = []
    script.when("AWSEvents.DescribeEventBus", says(200, b"<html>"))
    async with open_clients(connections=4, wait_time_s=0, events=[BUS]) as clients:
        await open_targets(clients, [BUS], own=(), warn=warnings.append)
    assert BUS in str(warnings)


@pytest.fixture
async def bus(script: Script) -> AsyncIterator[EventTarget]:
    script.when("AWSEvents.DescribeEventBus", says(200, {"Arn": BUS}))
    async with targets(BUS) as [opened]:
        script.requests.clear()
        yield opened


@pytest.fixture
async def topic(script: Script) -> AsyncIterator[EventTarget]:
    script.then(says(200, sns("GetTopicAttributes", "")))
    async with targets(TOPIC) as [opened]:
        script.requests.clear()
        yield opened


def sns(operation: str, result: str) -> bytes:
    return f"<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>".encode()


async def outcomes(target: EventTarget, *keys: str) -> list[Any]:
    return await asyncio.gather(*[target.send(event(key)) for key in keys], return_exceptions=True)


async def test_events_of_one_moment_are_one_request_and_each_entry_is_seen_to_alone(
    script: Script, bus: EventTarget, topic: EventTarget
) -> None:
    entries = [{"EventId": "1"}, {"ErrorCode": "ThrottlingException"}, {"ErrorCode": "InternalFailure"}]
    entries += [{"ErrorCode": "MalformedDetail", "ErrorMessage": "no"}]
    script.when("AWSEvents.PutEvents", says(200, {"FailedEntryCount": 3, "Entries": entries}))
    put = await outcomes(bus, *"abcd")
    assert put[0] == "1"
    assert [type(each) for each in put[1:]] == [NotSent, BackendUnavailable, SendRefused]
    failed = "<Failed><member><Id>1</Id><Code>InternalError</Code><SenderFault>false</SenderFault></member></Failed>"
    done = "<Successful><member><Id>0</Id><MessageId>m</MessageId></member></Successful>"
    script.then(says(200, sns("PublishBatch", done + failed)))
    published = await outcomes(topic, *"abc")
    assert published[0] == "m"
    assert all(isinstance(each, BackendUnavailable) for each in published[1:]), "one failed, the answer lacks the other"
    assert len(script.requests) == 2
    assert TOPIC in str(published[1])


async def test_one_that_is_not_taken_costs_the_others_nothing(script: Script, topic: EventTarget) -> None:
    no = says(400, b"<ErrorResponse><Error><Code>InvalidParameter</Code></Error></ErrorResponse>")
    script.then(no, no, says(200, sns("Publish", "<MessageId>m</MessageId>")))
    refused, taken = await outcomes(topic, "a", "b")
    assert isinstance(refused, SendRefused)
    assert taken == "m"
    asked = [parse_qs(body.decode())["Action"] for _, body in script.requests]
    assert asked == [["PublishBatch"], ["Publish"], ["Publish"]]


async def test_an_event_takes_the_trace_of_its_job_along(script: Script, bus: EventTarget, topic: EventTarget) -> None:
    script.when("AWSEvents.PutEvents", says(200, {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}))
    with traced(system="aws_sqs") as (_, spans), during(Handling("", "m", 1, SENDER)):
        await bus.send(event())
        script.then(says(200, sns("Publish", "<MessageId>m</MessageId>")))
        await topic.send(event())
    to_bus, to_topic = spans.named("send ended")
    put, published = script.requests
    [entry] = json.loads(put[1])["Entries"]
    assert entry["TraceHeader"] == f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]};Parent={span_id(to_bus)};Sampled=1"
    assert f"00-{TRACE_ID}-{span_id(to_topic)}-01" in str(parse_qs(published[1].decode()))
    assert [attributes(span)["messaging.system"] for span in (to_bus, to_topic)] == ["aws.eventbridge", "aws.sns"]


async def test_what_an_answer_leaves_out_has_failed(script: Script, bus: EventTarget) -> None:
    script.when("AWSEvents.PutEvents", says(200, {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}))
    assert all(isinstance(each, BackendUnavailable) for each in await outcomes(bus, "a", "b"))
    script.when("AWSEvents.PutEvents", stalls)
    sending = asyncio.ensure_future(bus.send(event()))
    await script.asked(2)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_each_is_asked_where_its_partition_and_region_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws_environment("").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    arns = [
        f"arn:aws-cn:sns:cn-north-1:{ACCOUNT}:ended",
        f"arn:aws-us-gov:sqs:us-gov-west-1:{ACCOUNT}:ended",
        f"arn:aws:events:eu-central-1:{ACCOUNT}:event-bus/ended",
    ]
    async with open_clients(connections=1, wait_time_s=0, events=arns) as clients:
        assert {place: client.meta.endpoint_url for place, client in clients.publishing.items()} == {
            ("sns", "cn-north-1"): "https://sns.cn-north-1.amazonaws.com.cn",
            ("sqs", "us-gov-west-1"): "https://sqs.us-gov-west-1.amazonaws.com",
            ("events", "eu-central-1"): "https://events.eu-central-1.amazonaws.com",
        }
