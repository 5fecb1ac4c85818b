"""The CloudFormation stack in the emulator: thumbq runs on what it makes, with its rights and no others."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError

from support.aws import filterpattern
from support.aws.rights import ACCOUNT, Recorder, covers, grants
from support.aws.templates import read_template
from support.patience import until
from support.pictures import images
from support.replicas.place import Place, opened
from support.servers.emulators import REGION, aws_env, aws_environment
from support.servers.endpoint import LOOPBACK, listening, write_table
from thumbq.aws.eventtargets import open_targets
from thumbq.aws.session import open_clients
from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.core.jobevent import JobEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from support.replicas.forker import Forker
    from support.replicas.replica import Replica
    from support.servers.endpoint import Endpoint

DEPLOY = Path(__file__).parents[2] / "deploy"
TEMPLATE = (DEPLOY / "cloudformation.yaml").read_text()
RECEIVES = 5
BURIED = 4
"""Three messages of jobs, and a callback."""


class Stack:
    """A stack that was made, and clients that look at it without being recorded."""

    def __init__(self, clients: dict[str, Any], outputs: dict[str, str]) -> None:
        self.sqs = clients["sqs"]
        self.s3 = clients["s3"]
        self.outputs = outputs
        self._iam = clients["iam"]

    async def policy(self) -> Any:
        """Return the service's policy as IAM has it, with the ARNs of this stack."""
        arn = self.outputs["ServicePolicyArn"]
        version = (await self._iam.get_policy(PolicyArn=arn))["Policy"]["DefaultVersionId"]
        answer = await self._iam.get_policy_version(PolicyArn=arn, VersionId=version)
        return answer["PolicyVersion"]["Document"]


async def created(cloudformation: Any, name: str, template: str = TEMPLATE, **parameters: str) -> dict[str, str]:
    """Make a stack as `aws cloudformation deploy` does, and return its outputs."""
    await cloudformation.create_stack(
        StackName=name,
        TemplateBody=template,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )

    async def ended() -> Any:
        [stack] = (await cloudformation.describe_stacks(StackName=name))["Stacks"]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

    stack = await until(ended, within_s=20, what="the end of the stack's making")
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@asynccontextmanager
async def clients_at(endpoint: str, *services: str) -> AsyncIterator[dict[str, Any]]:
    session = AioSession()
    options: dict[str, Any] = {"region_name": REGION, "endpoint_url": endpoint}
    options |= {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    async with AsyncExitStack() as opened_clients:
        clients = {}
        for service in services:
            client = session.create_client(service, **options)  # type: ignore[call-overload]
            clients[service] = await opened_clients.enter_async_context(client)
        yield clients


@pytest.fixture
async def stack(ministack_url: str) -> AsyncIterator[Stack]:
    name = f"t{uuid.uuid4().hex[:12]}"
    async with clients_at(ministack_url, "cloudformation", "iam", "s3", "sqs") as clients:
        outputs = await created(
            clients["cloudformation"], name, Compute="none", QueueName=name, MaxReceiveCount=str(RECEIVES)
        )
        yield Stack(clients, outputs)


@pytest.fixture
async def recorder(ministack_url: str) -> AsyncIterator[Recorder]:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        recorder = Recorder(ministack_url, session, Random(0))
        yield recorder
        await recorder.close()


async def leave_letters(stack: Stack) -> None:
    """Have SQS move a message to the dead-letter queue by itself, and another program put one there."""
    sqs, queue = stack.sqs, stack.outputs["QueueUrl"]
    await sqs.purge_queue(QueueUrl=queue)  # S3's test event
    await sqs.send_message(QueueUrl=queue, MessageBody="moved.jpg")
    for _ in range(RECEIVES + 1):
        await sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0, WaitTimeSeconds=0)
    await sqs.send_message(QueueUrl=stack.outputs["DeadLetterQueueUrl"], MessageBody="of another program")


async def swept(stack: Stack, replica: Replica) -> None:
    """Wait until the sweep has told of the message that SQS moved, and given back what is not its own."""

    async def recorded() -> bool:
        found = await stack.s3.list_objects_v2(Bucket=stack.outputs["BucketName"], Prefix="manifests/moved.jpg")
        return bool(found["KeyCount"])

    await until(recorded, within_s=20, what=lambda: f"the moved message's manifest\n{replica.stderr()}")


async def killed_and_done(place: Place, replica: Replica) -> None:
    """Let a render hang until it is killed: its attempt is on record until the next one has done the job."""
    replica.freeze_renders()
    upload = await place.upload(replica, images.small_jpeg())
    assert (await place.finished(replica, upload, within_s=40))["status"] == "done"


async def uploaded_directly(place: Place, replica: Replica) -> None:
    """Store an original by a form of POST /uploads; S3's event brings the job."""
    body = images.small_jpeg()
    async with place.session.post(f"{replica.url}/uploads", json={"content_type": "image/jpeg"}) as answer:
        offered = (await answer.json())["data"]
        assert answer.status == 201, offered
    form = aiohttp.FormData()
    for name, value in offered["upload"]["fields"].items():
        form.add_field(name, value)
    form.add_field("file", body, filename="photo.jpg", content_type="image/jpeg")
    async with place.session.post(offered["upload"]["url"], data=form) as answer:
        assert answer.status in (200, 201, 204), await answer.text()
    await until_done(place, replica, offered["id"])


async def deleted(place: Place, replica: Replica) -> None:
    """Delete a job: originals, manifests and renditions may be removed."""
    upload = await place.upload(replica, images.small_jpeg())
    await place.finished(replica, upload, within_s=20)
    async with place.session.delete(f"{replica.url}/jobs/{upload}") as answer:
        assert answer.status == 204, await answer.text()


async def until_done(place: Place, replica: Replica, upload_id: str) -> None:
    async def done() -> bool:
        return bool((await place.job(replica, upload_id))["status"] == "done")

    await until(done, within_s=20, what=lambda: f"the job {upload_id}\n{replica.stderr()}")


async def refused(place: Place, replica: Replica, recorder: Recorder) -> None:
    """Upload while the queue takes nothing: the original is removed again."""
    recorder.refuses = lambda asked: asked.operation == "SendMessage"
    form = aiohttp.FormData()
    form.add_field("file", images.small_jpeg(), filename="photo.jpg")
    async with place.session.post(f"{replica.url}/upload", data=form) as answer:
        assert answer.status >= 500, await answer.text()
    recorder.refuses = lambda _: False


async def sent(stack: Stack, place: Place, photo: Path) -> None:
    """Send a file as article C's sender does, to a queue that is known by its name."""
    name = stack.outputs["QueueName"]
    done = await place.command("send", str(photo), "--prefix", "pngfiles/", THUMBQ_QUEUE=name)
    assert b"pngfiles/sampleImage.png" in done.stdout, done
    done = await place.command("resume", THUMBQ_QUEUE=name)
    assert done.stdout == b"default: was not paused\nwebhooks: was not paused\n", done


async def called_back(place: Place, replica: Replica, endpoint: Endpoint, uploaded: str) -> None:
    """Wait for callbacks, one of which comes again and one is given up, and send one again.

    That is to a queue which is known by its name.
    """
    ended = ("callback.done", "callback.given_up", "callback.failed")
    await until(lambda: all(map(replica.events, ended)), within_s=20, what=lambda: f"all kinds\n{replica.stderr()}")
    again = len(endpoint.calls)
    name = place.environment["THUMBQ_QUEUE"].rpartition("/")[2]
    done = await place.command("webhook", "replay", uploaded, THUMBQ_QUEUE=name)
    assert done.returncode == 0, done
    await until(lambda: len(endpoint.calls) > again, within_s=20, what="another call")


async def deleted_with_its_callback(stack: Stack, place: Place, replica: Replica, job_id: str) -> None:
    """Delete a job of which a callback was given up; another dead letter of that queue is put back."""
    named = await stack.sqs.get_queue_url(QueueName=f"{stack.outputs['QueueName']}-webhooks-dlq")
    source = {"bucket": stack.outputs["BucketName"], "key": keys.upload_key(job_id)}
    given_up = {"version": 1, "id": "msg_1", "url": "https://example.com/", "source": source, "body": {}}
    for body in ("of another program", json.dumps(given_up)):
        await stack.sqs.send_message(QueueUrl=named["QueueUrl"], MessageBody=body)
    async with place.session.delete(f"{replica.url}/jobs/{job_id}") as answer:
        assert answer.status == 204, await answer.text()

    async def removed() -> bool:
        found = await stack.sqs.receive_message(
            QueueUrl=named["QueueUrl"], MaxNumberOfMessages=10, VisibilityTimeout=0, WaitTimeSeconds=0
        )
        bodies = [message["Body"] for message in found.get("Messages", [])]
        return "of another program" in bodies and not any(job_id in body for body in bodies)

    await until(removed, within_s=60, what=lambda: f"the removal of a dead letter\n{replica.stderr()}")


async def operated(place: Place, replica: Replica) -> None:
    """Do what operators do over HTTP: look at the dead letters of callbacks, and remove them."""
    dead = f"{replica.url}/queues/webhooks/dead-letters"
    async with place.session.get(dead) as answer:
        assert (await answer.json())["data"]["letters"], "the one that was given up"
    async with place.session.post(f"{dead}/remove", json={"all": True}) as answer:
        assert answer.status == 200, await answer.text()


async def whole_run(stack: Stack, place: Place, recorder: Recorder, photo: Path, endpoint: Endpoint) -> None:
    """Do everything that makes `thumbq serve` and `thumbq send` talk to AWS."""
    await leave_letters(stack)
    replica = await place.replica(program=LOOPBACK, wait_time_s=1, processes=1, render_timeout_s=2)
    await killed_and_done(place, replica)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(swept, stack, replica)
        tasks.start_soon(sent, stack, place, photo)
    await uploaded_directly(place, replica)
    await deleted(place, replica)
    await stack.s3.put_object(Bucket=stack.outputs["BucketName"], Key="inbox/a b.jpg", Body=images.small_jpeg())
    broken = await place.upload(replica, images.truncated_jpeg())
    assert (await place.finished(replica, broken, within_s=20))["status"] == "failed"
    await stack.sqs.send_message(QueueUrl=stack.outputs["QueueUrl"], MessageBody='{"key": "nothing.jpg"}')
    await until(lambda: len(replica.events("message.buried")) == BURIED, within_s=20, what="all burials")
    await called_back(place, replica, endpoint, broken)
    await operated(place, replica)
    await deleted_with_its_callback(stack, place, replica, broken)
    await refused(place, replica, recorder)
    for key in ("manifests/inbox/a b.jpg.json", "jpgfiles/sampleImage.jpg"):
        assert (await stack.s3.head_object(Bucket=stack.outputs["BucketName"], Key=key))["ContentLength"]
    replica.signal(signal.SIGTERM)
    assert await replica.ended(within_s=20) == 0


async def test_thumbq_runs_on_the_stack_and_needs_its_rights_and_no_others(
    stack: Stack, recorder: Recorder, tmp_path: Path, forker: Forker | None
) -> None:
    photo = tmp_path / "sampleImage.png"
    photo.write_bytes(images.encoded(images.scene(40, 30), "PNG"))
    bucket, queue = stack.outputs["BucketName"], stack.outputs["QueueUrl"]
    environment = aws_environment(await recorder.endpoint("thumbq"))
    environment |= {"THUMBQ_BUCKET": bucket, "THUMBQ_QUEUE": queue, "THUMBQ_CONFIG": str(tmp_path / "thumbq.toml")}
    environment["THUMBQ_WEBHOOK_SECRETS"] = f"whsec_{'a' * 32}"
    async with opened(tmp_path, environment, forker) as place, listening(500, 410) as endpoint:
        write_table(tmp_path / "thumbq.toml", endpoint.url)
        await whole_run(stack, place, recorder, photo, endpoint)
        alarmed = alarming([line for replica in place.replicas for line in replica.stderr().splitlines()])
    assert alarmed == ["attempts-exhausted"], "a truncated picture and a missing original wake nobody"
    policy, needs = await stack.policy(), recorder.needs()
    granted = grants(policy)
    assert [need for need in needs if not any(covers(grant, need) for grant in granted)] == []
    assert [grant for grant in granted if not any(covers(grant, need) for need in needs)] == []
    assert policy == articles_policy(bucket, stack.outputs["QueueName"])
    assert recorder.missing, "without one nothing has needed s3:ListBucket but the look at the start"


def alarming(log: Sequence[str]) -> list[str]:
    """Return the code of each line that the alarm on dead letters counts."""
    template = read_template(DEPLOY / "cloudformation.yaml")
    pattern = template["Resources"]["DeadLetterFilter"]["Properties"]["FilterPattern"]
    assert sum('"message.buried"' in line for line in log) == BURIED
    return [json.loads(line)["code"] for line in log if filterpattern.matches(pattern, line)]


def articles_policy(bucket: str, queue: str) -> Any:
    """Return the policy for article C's role, with other names."""
    text = (DEPLOY / "iam-policy.json").read_text()
    text = text.replace("lambda-test-2020", bucket).replace(
        f":{REGION}:*:imgFileConvReq", f":{REGION}:{ACCOUNT}:{queue}"
    )
    return json.loads(text)


@pytest.mark.long
async def test_events_need_the_rights_that_the_stack_gives_and_no_others(
    ministack_url: str, recorder: Recorder
) -> None:
    name = f"t{uuid.uuid4().hex[:12]}"
    async with clients_at(ministack_url, "cloudformation", "iam", "s3", "sqs", "events") as clients:
        await clients["sqs"].create_queue(QueueName=f"{name}-told")
        await clients["events"].create_event_bus(Name=name)
        given = [f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-told", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}"]
        parameters = {"Compute": "none", "QueueName": name, "MakeEventTopic": "true", "EventTargets": ",".join(given)}
        stack = Stack(clients, await created(clients["cloudformation"], name, **parameters))
        policy = await stack.policy()
    arns = [stack.outputs["EventTopicArn"], *given]
    # The emulator finds a bus by its name only. (The API takes its ARN, too: DescribeEventBus, "Name".)
    recorder.refuses = lambda asked: asked.operation == "DescribeEventBus"
    with aws_env(await recorder.endpoint("thumbq")):
        async with open_clients(connections=2, wait_time_s=0, events=arns) as opened_clients:
            for target in await open_targets(opened_clients, arns, own=(), warn=None):
                await asyncio.gather(*(target.send(an_event(number)) for number in range(3)))
    granted = grants({"Statement": [each for each in policy["Statement"] if each["Sid"].startswith("Event")]})
    needs = recorder.needs()
    assert [need for need in needs if not any(covers(grant, need) for grant in granted)] == []
    of_no_use = [grant for grant in granted if not any(covers(grant, need) for need in needs)]
    assert [grant for grant in of_no_use if grant.action.partition(":")[0] == grant.resource.split(":")[2]] == []


def an_event(number: int) -> JobEvent:
    source = ObjectRef("photos", f"uploads/{number}")
    return JobEvent(str(number), "job.done", "{}", source, "done", ("small",), datetime.now(UTC))


async def test_a_service_without_its_network_is_refused_with_what_is_missing(ministack_url: str) -> None:
    # The emulator knows no scaling of ECS services.
    known = re.sub(r"(?ms)^  ScalableTarget:.*?(?=^Outputs:)", "", TEMPLATE)
    async with clients_at(ministack_url, "cloudformation") as clients:
        with pytest.raises(ClientError, match="Compute=fargate needs VpcId"):
            await created(clients["cloudformation"], f"t{uuid.uuid4().hex[:12]}", known)
