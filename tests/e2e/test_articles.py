"""The three published systems that thumbq covers, each by its own article's steps and names.

A: an API server and a worker in Go on LocalStack (2025). B: SQS as lived with Ruby's Shoryuken (2023). C: SQS and
Lambda in Python (2020).
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from aiobotocore.session import AioSession
from PIL import Image

from support.lambda_runtime.runtime_api import runtime_api
from support.patience import until
from support.pictures import images
from support.replicas.place import opened
from support.replicas.replica import THUMBQ, running
from support.servers.emulators import aws_environment, without_aws

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.replicas.replica import Replica

ENDPOINT = "http://localhost:4566"
REGION = "ap-northeast-1"
POLICY = Path(__file__).resolve().parents[2] / "deploy" / "iam-policy.json"
STRETCHED = '[presets.thumbnail]\nwidth = 100\nheight = 100\nfit = "fill"\n'


@pytest.fixture
def article_ports(run_directory: Path) -> Iterator[None]:
    """Keep the ports that the articles name (4566 for the emulator, 8080 for the API) to one test at a time."""
    with (run_directory / "article-ports").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for port in (4566, 8080):
            if _listens(port):
                pytest.skip(f"port {port}, which the article names, is taken on this machine")
        yield


@pytest.fixture
def emulator(article_ports: None, tmp_path: Path) -> Iterator[None]:
    """Run an emulator where the articles have LocalStack."""
    del article_ports
    with (tmp_path / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "4566"],
            env=without_aws(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        anyio.run(partial(until, lambda: _listens(4566), within_s=30, what="the emulator on port 4566"))
        yield
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Account:
    """The clients with which an article's reader looks into AWS."""

    def __init__(self, s3: Any, sqs: Any, iam: Any) -> None:
        self.s3 = s3
        self.sqs = sqs
        self.iam = iam

    async def image(self, bucket: str, key: str) -> Image.Image:
        """Wait for an object and open it."""

        async def found() -> bytes | None:
            try:
                answer = await self.s3.get_object(Bucket=bucket, Key=key)
            except self.s3.exceptions.NoSuchKey:
                return None
            body: bytes = await answer["Body"].read()
            return body

        return Image.open(io.BytesIO(await until(found, within_s=20, what=f"the object {bucket}/{key}")))


@asynccontextmanager
async def account(endpoint: str) -> AsyncIterator[Account]:
    session, options = AioSession(), {"region_name": REGION, "endpoint_url": endpoint}
    options |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    async with (
        session.create_client("s3", **options) as s3,  # type: ignore[call-overload]
        session.create_client("sqs", **options) as sqs,  # type: ignore[call-overload]
        session.create_client("iam", **options) as iam,  # type: ignore[call-overload]
    ):
        yield Account(s3, sqs, iam)


async def shell(command: str, directory: Path, environment: dict[str, str]) -> str:
    """Run a line as the article's reader types it."""
    folder = str(Path(THUMBQ).parent)
    done = await anyio.run_process(
        ["bash", "-euc", command],
        cwd=directory,
        env=without_aws(os.environ) | environment | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        check=False,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the article uploads with curl, which is not here")
async def test_article_a_an_upload_on_port_8080_and_a_bare_key_become_thumbnails_of_100_by_100(
    emulator: None, tmp_path: Path
) -> None:
    del emulator
    (tmp_path / "config").write_text(f"[profile localstack]\nregion = {REGION}\nendpoint_url = {ENDPOINT}\n")
    (tmp_path / "credentials").write_text("[localstack]\naws_access_key_id = dummy\naws_secret_access_key = dummy\n")
    environment = {
        "AWS_PROFILE": "localstack",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    (tmp_path / "test.jpg").write_bytes(images.photo_jpeg(640, 480))
    async with account(ENDPOINT) as aws:
        # Two lines of the AWS CLI in the article.
        await aws.s3.create_bucket(Bucket="sample-bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
        made = await aws.sqs.create_queue(QueueName="sample-queue", Attributes={"ReceiveMessageWaitTimeSeconds": "20"})
        # The worker and the API are one command here.
        (tmp_path / "thumbq.toml").write_text(STRETCHED)
        started = environment | {"THUMBQ_BUCKET": "sample-bucket", "THUMBQ_QUEUE": "sample-queue"}
        started |= {"THUMBQ_CONFIG": str(tmp_path / "thumbq.toml"), "THUMBQ_WAIT_TIME_S": "2"}
        with running(tmp_path / "serve", started, port=8080) as replica:
            await replica.ready("try: curl")
            # The article's curl has no body: there the server reads ./test.jpg.
            refused = json.loads(await shell("curl -s -X POST http://localhost:8080/upload", tmp_path, {}))
            assert (refused["success"], refused["status"]) == (False, 400)
            assert "-F file=@" in refused["message"]
            answer = json.loads(
                await shell("curl -sf -X POST -F file=@test.jpg http://localhost:8080/upload", tmp_path, {})
            )
            assert answer["success"] is True
            assert answer["message"] == "Successfully uploaded file and sent message"
            uploaded = answer["data"]["jobs"][0]["id"]
            # The article's own API: the original at the bucket's root, its bare key as the message.
            await aws.s3.put_object(
                Bucket="sample-bucket", Key="Zx0a9Bc8dE.jpg", Body=(tmp_path / "test.jpg").read_bytes()
            )
            await aws.sqs.send_message(QueueUrl=made["QueueUrl"], MessageBody="Zx0a9Bc8dE.jpg")
            for key in (f"thumbnail/{uploaded}.jpg", "thumbnail/Zx0a9Bc8dE.jpg"):
                thumbnail = await aws.image("sample-bucket", key)
                assert (thumbnail.format, thumbnail.size) == ("JPEG", (100, 100))
            replica.signal(signal.SIGTERM)
            assert await replica.ended(within_s=30) == 0


async def test_article_b_what_is_not_deleted_comes_back_and_a_heartbeat_outlasts_the_visibility_time_out(
    ministack_url: str, tmp_path: Path
) -> None:
    async with account(ministack_url) as aws:
        name = f"b-{uuid.uuid4().hex}"
        await aws.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        made = await aws.sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})
        environment = aws_environment(ministack_url) | {"THUMBQ_BUCKET": name, "THUMBQ_QUEUE": f"{name}.fifo"}
        async with opened(tmp_path, environment) as place:
            settings: dict[str, Any] = {"visibility_timeout_s": 4, "wait_time_s": 1, "processes": 1, "concurrency": 1}
            first = await place.replica(**settings)
            for key in ("long.jpg", "next.jpg", "last.jpg"):
                await aws.s3.put_object(Bucket=name, Key=key, Body=images.photo_jpeg(64, 48))
            # The longest work: a render that stands still for more than the 4 s of the time-out.
            stopped = first.freeze_renders()
            began = time.monotonic()
            await send_ordered(aws, made["QueueUrl"], "long.jpg", group="one")
            await place.in_flight(1)
            # Another worker gets the next one, while the first message is hidden from it.
            second = await place.replica(**settings)
            for key in ("next.jpg", "last.jpg"):
                await send_ordered(aws, made["QueueUrl"], key, group="two")
            await done(second, ["next.jpg", "last.jpg"])
            await until(lambda: time.monotonic() > began + 6, within_s=10, what="more than the time-out")
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            await done(first, ["long.jpg"])
            assert [job["receive_count"] for job in first.events("job.done")] == [1]
            # A worker that dies deletes nothing: what it had comes back by itself, to another one.
            first.freeze_renders()
            second.signal(signal.SIGTERM)
            await second.ended(within_s=30)
            # Another picture before its message: with the old one there is nothing to do, and no render to die in.
            await aws.s3.put_object(Bucket=name, Key="next.jpg", Body=images.photo_jpeg(48, 64))
            await send_ordered(aws, made["QueueUrl"], "next.jpg", group="three")
            await place.in_flight(1)
            first.signal(signal.SIGKILL)
            third = await place.replica(**settings)
            await done(third, ["next.jpg"])
            assert [job["receive_count"] for job in third.events("job.done")] == [2]


async def send_ordered(aws: Account, queue: str, key: str, *, group: str) -> None:
    await aws.sqs.send_message(
        QueueUrl=queue, MessageBody=key, MessageGroupId=group, MessageDeduplicationId=uuid.uuid4().hex
    )


async def done(replica: Replica, keys: list[str]) -> None:
    """Wait until a replica has done these jobs, in this order."""
    await until(
        lambda: [job["job_id"] for job in replica.events("job.done")] == keys,
        within_s=20,
        what=lambda: f"{keys} done\n{replica.stderr()}",
    )


def article_c() -> dict[str, str]:
    return aws_environment(ENDPOINT) | {"THUMBQ_BUCKET": "lambda-test-2020", "THUMBQ_QUEUE": "imgFileConvReq"}


async def sent_sample(aws: Account, directory: Path, queue: str, name: str = "sampleImage") -> Any:
    """Run the article's sender, and return the message."""
    picture = images.encoded(images.scene(320, 200), "PNG")
    (directory / f"{name}.png").write_bytes(picture)
    answer = await shell(f"thumbq send ./{name}.png --prefix pngfiles/", directory, article_c())
    key, message_id = answer.split()[1:]
    assert key == f"pngfiles/{name}.png"
    stored = await aws.s3.get_object(Bucket="lambda-test-2020", Key=key)
    assert await stored["Body"].read() == picture
    received = await aws.sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0, MessageSystemAttributeNames=["All"])
    [message] = received["Messages"]
    assert message["MessageId"] == message_id
    assert json.loads(message["Body"]) == {"bucket": "lambda-test-2020", "key": key}
    return message


async def converted(aws: Account, name: str = "sampleImage") -> None:
    picture = await aws.image("lambda-test-2020", f"jpgfiles/{name}.jpg")
    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (320, 200))


async def test_article_c_the_sender_puts_a_png_and_the_worker_makes_the_jpeg_or_the_function_recvsqsmessage(
    emulator: None, tmp_path: Path
) -> None:
    del emulator
    async with account(ENDPOINT) as aws:
        await aws.s3.create_bucket(Bucket="lambda-test-2020", CreateBucketConfiguration={"LocationConstraint": REGION})
        queue = (await aws.sqs.create_queue(QueueName="imgFileConvReq"))["QueueUrl"]
        await sent_sample(aws, tmp_path, queue)
        # Short polls: a long one that is open when the worker ends would take the next message along.
        with running(tmp_path / "serve", article_c() | {"THUMBQ_WAIT_TIME_S": "0"}) as replica:
            await replica.ready("try: curl")
            await converted(aws)
        await recv_sqs_message(aws, await sent_sample(aws, tmp_path, queue, "another"))
        await converted(aws, "another")


async def recv_sqs_message(aws: Account, message: Any) -> None:
    """Run the article's function on a message, with the role sqsLongPolling."""
    # The role: Lambda may take it on, and it has the rights that thumbq needs, under the article's name for them.
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    await aws.iam.create_role(
        RoleName="sqsLongPolling",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    await aws.iam.put_role_policy(
        RoleName="sqsLongPolling", PolicyName="s3ReadWriteAccess", PolicyDocument=POLICY.read_text()
    )
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:123456789012:imgFileConvReq",
        "awsRegion": REGION,
    }
    async with runtime_api() as api:
        function = article_c() | {"AWS_LAMBDA_RUNTIME_API": api.address, "THUMBQ_PROCESSES": "1"}
        function |= {"AWS_LAMBDA_FUNCTION_NAME": "recvSQSMessage", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048"}
        client = await anyio.open_process(
            [sys.executable, "-m", "awslambdaric", "thumbq.aws_lambda.handler"],
            env=without_aws(os.environ) | function,
            stdout=None,
            stderr=None,
        )
        try:
            assert await api.invoke({"Records": [record]}) == {"batchItemFailures": []}
        finally:
            client.kill()
            await client.wait()
