"""`thumbq setup` makes what is missing, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support.aws.templates import read_template
from support.documents import ROOT
from support.servers.emulators import REGION
from support.servers.scripted import Script, s3_error, says, sqs_error
from thumbq.aws.provision import Step, provision
from thumbq.aws.session import open_clients
from thumbq.core import callbackmessage
from thumbq.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thumbq.aws.session import Clients


@pytest.fixture
async def aws(moto: str) -> AsyncIterator[Clients]:
    assert moto
    async with open_clients(connections=2, wait_time_s=1) as clients:
        yield clients


async def attributes(aws: Clients, queue: str) -> dict[str, Any]:
    url = (await aws.control.get_queue_url(QueueName=queue))["QueueUrl"]
    found: Any = (await aws.control.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"]
    return dict(found)


async def test_setup_makes_everything_and_says_so(aws: Clients, name: str) -> None:
    steps = await provision(bucket=name, queues=[name], max_receive_count=5, visibility_timeout_s=45)

    assert [str(step) for step in steps] == [
        f"made   bucket {name}",
        f"made   public-access block of bucket {name}",
        f"made   encryption of bucket {name}",
        f"made   lifecycle rules of bucket {name}",
        f"made   dead-letter queue {name}-dlq",
        f"made   queue {name}",
        f"made   redrive policy of queue {name}",
    ]
    location = await aws.s3.get_bucket_location(Bucket=name)
    assert location["LocationConstraint"] == REGION
    block = await aws.s3.get_public_access_block(Bucket=name)
    assert set(block["PublicAccessBlockConfiguration"].values()) == {True}
    queue, dead = await attributes(aws, name), await attributes(aws, f"{name}-dlq")
    assert json.loads(queue["RedrivePolicy"]) == {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": 5}
    assert (queue["VisibilityTimeout"], queue["ReceiveMessageWaitTimeSeconds"]) == ("45", "20")
    assert (queue["MessageRetentionPeriod"], dead["MessageRetentionPeriod"]) == ("345600", "1209600")


async def test_records_expire_as_the_stack_has_it_and_rules_of_others_are_left_alone(aws: Clients, name: str) -> None:
    await provision(bucket=name, queues=[name])
    rules: Any = (await aws.s3.get_bucket_lifecycle_configuration(Bucket=name))["Rules"]
    found = {rule["Filter"]["Prefix"]: rule["Expiration"]["Days"] for rule in rules}
    stack = read_template(ROOT / "deploy" / "cloudformation.yaml")["Resources"]["Bucket"]["Properties"][
        "LifecycleConfiguration"
    ]["Rules"]
    assert found == {rule["Prefix"]: rule["ExpirationInDays"] for rule in stack if "ExpirationInDays" in rule}
    own: Any = {"ID": "own", "Status": "Enabled", "Filter": {"Prefix": "attempts/"}, "Expiration": {"Days": 3}}
    await aws.s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [own]})
    steps = await provision(bucket=name, queues=[name])
    note = "left alone, though nothing removes presigned/, idempotency/, failed-messages/, tombstones/"
    assert Step(f"lifecycle rules of bucket {name}", made=False, note=note) in steps
    kept: Any = (await aws.s3.get_bucket_lifecycle_configuration(Bucket=name))["Rules"]
    assert [rule["ID"] for rule in kept] == ["own"]


async def test_callbacks_have_a_standard_queue_that_keeps_them_for_all_their_calls(aws: Clients, name: str) -> None:
    callbacks = callbackmessage.queue_name(f"{name}.fifo")
    steps = await provision(bucket=name, queues=[f"{name}.fifo"], callbacks=callbacks)
    assert [str(step) for step in steps[-3:]] == [
        f"made   dead-letter queue {name}-webhooks-dlq",
        f"made   queue {name}-webhooks",
        f"made   redrive policy of queue {name}-webhooks",
    ]
    queue, dead = await attributes(aws, f"{name}-webhooks"), await attributes(aws, f"{name}-webhooks-dlq")
    assert json.loads(queue["RedrivePolicy"]) == {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": 1000}
    assert (queue["MessageRetentionPeriod"], dead["MessageRetentionPeriod"]) == ("1209600", "1209600")


async def test_a_second_run_changes_nothing_and_says_so(aws: Clients, name: str) -> None:
    await provision(bucket=name, queues=[name])
    before = await attributes(aws, name)

    steps = await provision(bucket=name, queues=[name], max_receive_count=3, visibility_timeout_s=60)

    assert not any(step.made for step in steps)
    assert steps[-1] == Step(f"redrive policy of queue {name}", made=False, note="left alone: 10 receives, not 3")
    assert await attributes(aws, name) == before


async def test_a_queue_that_is_there_keeps_its_attributes_and_gets_dead_letters(aws: Clients, name: str) -> None:
    await aws.control.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "77"})
    steps = await provision(bucket=name, queues=[name])
    assert {step.what: step.made for step in steps[-3:]} == {
        f"dead-letter queue {name}-dlq": True,
        f"queue {name}": False,
        f"redrive policy of queue {name}": True,
    }
    queue = await attributes(aws, name)
    assert queue["VisibilityTimeout"] == "77"
    assert json.loads(queue["RedrivePolicy"])["deadLetterTargetArn"].endswith(f":{name}-dlq")


async def test_another_redrive_policy_is_left_alone(aws: Clients, name: str) -> None:
    await aws.control.create_queue(QueueName=f"{name}-graves")
    graves = (await attributes(aws, f"{name}-graves"))["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": graves, "maxReceiveCount": 4})
    await aws.control.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})

    steps = await provision(bucket=name, queues=[name])

    assert str(steps[-1]) == f"there  redrive policy of queue {name} (left alone: dead letters go to {name}-graves)"
    assert json.loads((await attributes(aws, name))["RedrivePolicy"])["maxReceiveCount"] == 4
    with pytest.raises(aws.control.exceptions.QueueDoesNotExist):
        await aws.control.get_queue_url(QueueName=f"{name}-dlq")


async def test_an_open_public_access_block_is_left_alone_and_reported(aws: Clients, name: str) -> None:
    await provision(bucket=name, queues=[name])
    await aws.s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    steps = await provision(bucket=name, queues=[name])
    assert "does not block everything" in steps[1].note


@pytest.mark.usefixtures("moto")
async def test_a_bucket_in_us_east_1_is_made_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert (await provision(bucket=name, queues=[name]))[0].made


async def test_a_name_that_ends_in_fifo_makes_fifo_queues_of_high_throughput(aws: Clients, name: str) -> None:
    await provision(bucket=name, queues=[f"{name}.fifo"])
    queue, dead = await attributes(aws, f"{name}.fifo"), await attributes(aws, f"{name}-dlq.fifo")
    assert json.loads(queue["RedrivePolicy"])["deadLetterTargetArn"] == dead["QueueArn"]
    for made in (queue, dead):
        assert (made["FifoQueue"], made["ContentBasedDeduplication"]) == ("true", "false")
        assert (made["DeduplicationScope"], made["FifoThroughputLimit"]) == ("messageGroup", "perMessageGroupId")
    assert (queue["MessageRetentionPeriod"], dead["MessageRetentionPeriod"]) == ("345600", "1209600")

    assert not any(step.made for step in await provision(bucket=name, queues=[f"{name}.fifo"]))
    assert await attributes(aws, f"{name}.fifo") == queue


async def test_several_queues_are_made_each_with_its_dead_letters(aws: Clients, name: str) -> None:
    steps = await provision(bucket=name, queues=[f"{name}-high", f"{name}-low.fifo"])
    assert [step.what for step in steps[4:]] == [
        f"dead-letter queue {name}-high-dlq",
        f"queue {name}-high",
        f"redrive policy of queue {name}-high",
        f"dead-letter queue {name}-low-dlq.fifo",
        f"queue {name}-low.fifo",
        f"redrive policy of queue {name}-low.fifo",
    ]
    assert all(step.made for step in steps)
    assert "FifoQueue" not in await attributes(aws, f"{name}-high")


async def test_a_queue_that_cannot_be_made_is_reported_before_anything_is(script: Script) -> None:
    with pytest.raises(SetupError) as caught:
        await provision(bucket="bucket-of-tests", queues=["jobs", "https://sqs.example/1/jobs"])
    assert len(caught.value.problems) == 1
    assert not script.requests


async def test_a_failure_to_make_something_is_reported_by_its_iam_name(script: Script) -> None:
    missing = sqs_error(400, "QueueDoesNotExist")
    script.then(
        says(404),
        s3_error(403, "AccessDenied"),
        missing,
        missing,
        sqs_error(403, "AccessDeniedException"),
    )
    with pytest.raises(SetupError) as caught:
        await provision(bucket="bucket-of-tests", queues=["q"])
    bucket, queue = caught.value.problems
    assert bucket.what == "no permission to make bucket bucket-of-tests: s3:CreateBucket is denied"
    assert queue.what == "no permission to make queue q-dlq: sqs:CreateQueue is denied"


async def test_a_bucket_name_that_is_taken_is_reported(script: Script) -> None:
    missing = sqs_error(400, "QueueDoesNotExist")
    script.then(says(404), s3_error(409, "BucketAlreadyExists"), missing, missing, sqs_error(403, "AccessDenied"))
    with pytest.raises(SetupError) as caught:
        await provision(bucket="photos", queues=["q"])
    assert caught.value.problems[0].fix == "choose another THUMBQ_BUCKET"


async def test_a_bucket_is_encrypted_and_one_that_says_how_is_left_alone(aws: Clients, name: str) -> None:
    await provision(bucket=name, queues=[name])
    rule: Any = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    [made] = (await aws.s3.get_bucket_encryption(Bucket=name))["ServerSideEncryptionConfiguration"]["Rules"]
    assert made["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    await aws.s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
    await provision(bucket=name, queues=[name])
    [kept] = (await aws.s3.get_bucket_encryption(Bucket=name))["ServerSideEncryptionConfiguration"]["Rules"]
    assert kept["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"


async def test_who_may_not_see_the_encryption_makes_the_rest(script: Script) -> None:
    no, not_there = s3_error(403, "AccessDenied"), sqs_error(500, "InternalFailure")
    script.then(says(200), says(200), no, s3_error(501, "NotImplemented"), not_there)
    with pytest.raises(SetupError) as caught:
        await provision(bucket="photos", queues=["q"])
    assert [problem.what.partition(" ")[0] for problem in caught.value.problems] == ["SQS"]


async def test_a_server_that_knows_no_access_block_and_no_lifecycle_gets_none_and_notes_say_so(
    script: Script,
) -> None:
    url = {"QueueUrl": "https://sqs.example/1/q"}
    policy = json.dumps({"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:1:q-dlq", "maxReceiveCount": 10})
    queue = {"Attributes": {"QueueArn": "arn:aws:sqs:eu-west-1:1:q", "RedrivePolicy": policy}}
    dead = {"Attributes": {"QueueArn": "arn:aws:sqs:eu-west-1:1:q-dlq"}}
    no = s3_error(501, "NotImplemented")
    script.then(says(200), no, no, no, says(200, url), says(200, queue), says(200, url), says(200, dead))
    steps = await provision(bucket="photos", queues=["q"])
    assert [step.note for step in steps] == ["", *["left out: this server has no such thing"] * 3, "", "", ""]
