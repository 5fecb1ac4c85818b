"""What is wrong at the start is said at once, with its fix, and in no words of botocore's alone."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from support.backends import open_aws
from support.servers.emulators import REGION
from support.servers.scripted import Script, s3_error, says, sqs_error
from thumbq.aws.provision import provision
from thumbq.aws.session import open_clients
from thumbq.errors import SetupError
from thumbq.ports import QueueAttributes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thumbq.errors import Problem


async def problems(*, bucket: str = "bucket-of-tests", queue: str = "q") -> tuple[Problem, ...]:
    with pytest.raises(SetupError) as caught:
        async with open_aws(bucket=bucket, queue=queue):
            pass
    return caught.value.problems


@pytest.fixture
def nowhere() -> Iterator[str]:
    """Hold a port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


async def test_what_setup_made_opens_by_name_and_by_url(moto: str, name: str) -> None:
    await provision(bucket=name, queues=[name])
    for queue in (name, f"{moto}/123456789012/{name}"):
        async with open_aws(bucket=name, queue=queue) as backend:
            assert backend.bucket == name
            assert (await backend.queue.attributes()).name == name


@pytest.mark.usefixtures("moto")
async def test_a_missing_bucket_and_a_missing_queue_are_both_reported(name: str) -> None:
    bucket, queue = await problems(bucket=name, queue=name)
    assert bucket.what == f"there is no bucket {name}"
    assert queue.what.startswith(f"there is no queue {name}")
    assert "`thumbq setup`" in bucket.fix
    assert "`thumbq setup`" in queue.fix


@pytest.mark.usefixtures("moto")
async def test_a_missing_queue_is_reported_by_its_url_too(name: str) -> None:
    _, queue = await problems(bucket=name, queue=f"https://sqs.{REGION}.amazonaws.com/123456789012/{name}")
    assert queue.what.startswith("there is no queue https://")


async def test_a_missing_dead_letter_queue_is_reported(script: Script) -> None:
    policy = json.dumps({"deadLetterTargetArn": "arn:aws:sqs:x:123456789012:graves", "maxReceiveCount": 3})
    script.when("HEAD /bucket-of-tests", says(200))
    script.then(
        says(200, {"QueueUrl": "https://sqs.example/1/q"}),
        says(200, {"Attributes": {"QueueArn": "arn:aws:sqs:x:1:q", "RedrivePolicy": policy}}),
        sqs_error(400, "QueueDoesNotExist", x_amzn_query_error="AWS.SimpleQueueService.NonExistentQueue;Sender"),
    )
    [problem] = await problems()
    assert problem.what.startswith("there is no dead-letter queue graves")


async def test_a_queue_without_a_redrive_policy_has_no_dead_letters_and_is_asked_about_once(script: Script) -> None:
    script.when("HEAD /bucket-of-tests", says(200))
    script.then(
        says(200, {"QueueUrl": "https://sqs.example/1/q"}),
        says(200, {"Attributes": {"QueueArn": "arn:aws:sqs:x:1:q"}}),
    )
    async with open_aws(bucket="bucket-of-tests", queue="q") as backend:
        assert backend.dead_letters is None
    assert sorted(script.operations) == ["GetQueueAttributes", "GetQueueUrl", "HEAD /bucket-of-tests"]


async def test_the_attributes_of_the_dead_letter_queue_are_read_at_the_start(script: Script) -> None:
    policy = json.dumps({"deadLetterTargetArn": "arn:aws:sqs:x:123456789012:graves", "maxReceiveCount": 3})
    own = {"QueueArn": "arn:aws:sqs:x:1:q", "RedrivePolicy": policy}
    script.when("HEAD /bucket-of-tests", says(200))
    script.then(
        says(200, {"QueueUrl": "https://sqs.example/1/q"}),
        says(200, {"Attributes": own}),
        says(200, {"QueueUrl": "https://sqs.example/1/graves"}),
        says(200, {"Attributes": {"MaximumMessageSize": "262144", "MessageRetentionPeriod": "600"}}),
        says(200, {"Attributes": {**own, "VisibilityTimeout": "30", "MessageRetentionPeriod": "345600"}}),
    )
    async with open_aws(bucket="bucket-of-tests", queue="q") as backend:
        assert backend.dead_letters is not None
        assert backend.dead_letters.max_bytes == 262_144
        assert await backend.queue.attributes() == QueueAttributes("q", 30, 345_600, 3, 600)


async def test_missing_permissions_are_reported_by_their_iam_names(script: Script) -> None:
    script.when("HEAD /bucket-of-tests", s3_error(403, "AccessDenied"))
    script.then(sqs_error(403, "AccessDeniedException"))
    bucket, queue = await problems()
    assert "s3:ListBucket on arn:aws:s3:::bucket-of-tests" in bucket.fix
    assert "sqs:GetQueueUrl" in queue.what
    assert "allow sqs:GetQueueUrl" in queue.fix


async def test_credentials_that_do_not_work_are_reported_once(script: Script) -> None:
    script.when("HEAD /bucket-of-tests", says(400))
    script.then(sqs_error(403, "InvalidClientTokenId", "The security token is invalid"))
    for problem in await problems():
        assert problem.what.startswith("the AWS credentials do not work")


@pytest.mark.usefixtures("moto")
async def test_a_fifo_queue_opens_as_one(name: str) -> None:
    await provision(bucket=name, queues=[f"{name}.fifo"])
    async with open_aws(bucket=name, queue=f"{name}.fifo") as backend:
        assert backend.fifo
        assert (await backend.queue.attributes()).fifo
        assert backend.dead_letters is not None


@pytest.mark.usefixtures("moto")
async def test_endpoints_that_do_not_answer_are_reported(nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", nowhere)
    s3, sqs = await problems()
    assert s3.what.startswith(f"S3 does not answer at {nowhere}")
    assert sqs.what.startswith(f"SQS does not answer at {nowhere}")
    assert "AWS_ENDPOINT_URL_SQS" in sqs.fix


@pytest.mark.usefixtures("moto")
async def test_endpoints_that_are_no_urls_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "s3.example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "sqs.example")
    s3, sqs = await problems()
    assert "s3.example" in s3.what
    assert "sqs.example" in sqs.what


@pytest.mark.usefixtures("moto")
async def test_no_region_and_no_credentials_are_both_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    region, credentials = await problems()
    assert "AWS_REGION" in region.fix
    assert "AWS_ACCESS_KEY_ID" in credentials.fix


@pytest.mark.usefixtures("moto")
async def test_half_a_key_pair_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    [problem] = await problems()
    assert "AWS_SECRET_ACCESS_KEY" in problem.what


@pytest.mark.usefixtures("moto")
async def test_a_profile_that_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "tomorrow")
    [problem] = await problems()
    assert "tomorrow" in problem.what
    assert "AWS_PROFILE" in problem.fix


@pytest.mark.usefixtures("moto")
async def test_an_invalid_bucket_name_is_reported() -> None:
    bucket, _ = await problems(bucket="No Bucket!")
    assert "No Bucket!" in bucket.what


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
@pytest.mark.usefixtures("moto")
async def test_both_names_of_the_region_are_heard(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv(variable, "eu-west-3")
    async with open_clients(connections=1, wait_time_s=1) as clients:
        regions = {client.meta.region_name for client in (clients.s3, clients.control, clients.polling)}
    assert regions == {"eu-west-3"}


@pytest.mark.usefixtures("moto")
async def test_region_and_credentials_of_a_profile_are_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    config = tmp_path / "config"
    config.write_text("[profile p]\nregion = eu-west-3\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "p")
    async with open_clients(connections=1, wait_time_s=1) as clients:
        assert clients.control.meta.region_name == "eu-west-3"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (None, "https://photos.s3.amazonaws.com/a.png"),
        ("http://storage.example:9000", "http://storage.example:9000/photos/a.png"),
    ],
)
@pytest.mark.usefixtures("moto")
async def test_only_amazons_own_s3_gets_bucket_names_in_host_names(
    endpoint: str | None, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    if endpoint is not None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    async with open_clients(connections=1, wait_time_s=1) as clients:
        signed = await clients.s3.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "a.png"})
    assert signed.partition("?")[0] == url
