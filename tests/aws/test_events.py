"""`thumbq setup --events` wires the bucket to the queue, beside what others have put there, and only once."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from support import documents
from support.documents import PRESIGNED_UPLOADS
from support.servers.emulators import aws_env
from support.servers.scripted import Script, s3_error, says, sqs_error
from thumbq.aws.events import EVENTS, NOTIFICATION_ID, STATEMENT_ID, wire_events, with_notification, with_statement
from thumbq.aws.provision import provision
from thumbq.aws.session import open_clients
from thumbq.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.servers.scripted import Answer
    from thumbq.aws.session import Clients

QUEUE = "arn:aws:sqs:ap-northeast-1:123456789012:q"
OTHER = "arn:aws:sqs:ap-northeast-1:123456789012:other"
NOT_THERE = "Unable to validate the following destination configurations"


@pytest.fixture
async def ministack(ministack_url: str) -> AsyncIterator[Clients]:
    with aws_env(ministack_url):
        async with open_clients(connections=2, wait_time_s=1) as clients:
            yield clients


@pytest.fixture
async def made(ministack: Clients) -> str:
    """Make a bucket and a queue of one name."""
    name = f"t-{uuid.uuid4().hex}"
    assert ministack is not None
    await provision(bucket=name, queues=[name])
    return name


async def queue_of(clients: Clients, name: str) -> tuple[str, dict[str, Any]]:
    """Return a queue's ARN and policy."""
    url = (await clients.control.get_queue_url(QueueName=name))["QueueUrl"]
    wanted: Any = ["QueueArn", "Policy"]
    found: Any = (await clients.control.get_queue_attributes(QueueUrl=url, AttributeNames=wanted))["Attributes"]
    return found["QueueArn"], json.loads(found.get("Policy") or "{}")


async def notifications(clients: Clients, bucket: str) -> dict[str, Any]:
    answer: Any = await clients.s3.get_bucket_notification_configuration(Bucket=bucket)
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def to_queue(arn: str, *, events: str = EVENTS, prefix: str = "", name: str = "theirs") -> Any:
    rules = [{"Name": "prefix", "Value": prefix}] if prefix else []
    return {"Id": name, "QueueArn": arn, "Events": [events], "Filter": {"Key": {"FilterRules": rules}}}


async def test_s3_may_and_does_send_events_of_the_inbox_only(ministack: Clients, made: str) -> None:
    steps = await wire_events(bucket=made, queue=made)

    arn, policy = await queue_of(ministack, made)
    assert [str(step) for step in steps] == [
        f"made   policy of queue {made} that lets bucket {made} send events",
        f"made   events of inbox/ in bucket {made} to queue {made}",
    ]
    assert policy["Statement"] == [
        {
            "Sid": STATEMENT_ID,
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {
                "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{made}"},
                "StringEquals": {"aws:SourceAccount": arn.split(":")[4]},
            },
        }
    ]
    (entry,) = (await notifications(ministack, made))["QueueConfigurations"]
    assert (entry["Id"], entry["QueueArn"], entry["Events"]) == (NOTIFICATION_ID, arn, ["s3:ObjectCreated:*"])
    assert [rule["Value"] for rule in entry["Filter"]["Key"]["FilterRules"]] == ["inbox/"]


async def test_what_others_have_put_there_stays(ministack: Clients, made: str) -> None:
    arn, _ = await queue_of(ministack, made)
    url = (await ministack.control.get_queue_url(QueueName=made))["QueueUrl"]
    theirs = {"Sid": "x", "Effect": "Allow", "Principal": "*", "Action": "sqs:ReceiveMessage", "Resource": arn}
    policy = {"Version": "2012-10-17", "Id": "their-policy", "Statement": theirs}
    await ministack.control.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    configuration: Any = {
        "QueueConfigurations": [
            to_queue(arn, events="s3:ObjectRemoved:*"),
            to_queue(arn, prefix="pngfiles/", name="b"),
        ],
        "EventBridgeConfiguration": {},
    }
    await ministack.s3.put_bucket_notification_configuration(Bucket=made, NotificationConfiguration=configuration)

    await wire_events(bucket=made, queue=made)

    _, changed = await queue_of(ministack, made)
    assert changed["Id"] == "their-policy"
    assert changed["Statement"][0] == theirs
    assert changed["Statement"][1]["Sid"] == STATEMENT_ID
    found = await notifications(ministack, made)
    assert {entry["Id"] for entry in found["QueueConfigurations"]} == {"theirs", "b", NOTIFICATION_ID}
    assert "EventBridgeConfiguration" in found


async def test_a_second_run_reads_and_writes_nothing(script: Script) -> None:
    policy = with_statement({}, bucket="photos", queue_arn=QUEUE)
    script.when("GetQueueUrl", says(200, {"QueueUrl": "https://sqs.example/1/q"}))
    script.when("GetQueueAttributes", says(200, {"Attributes": {"QueueArn": QUEUE, "Policy": json.dumps(policy)}}))
    script.when("GET /photos", stored(prefix="inbox/"))

    steps = await wire_events(bucket="photos", queue="q")

    assert [step.made for step in steps] == [False, False]
    assert sorted(script.operations) == ["GET /photos", "GetQueueAttributes", "GetQueueUrl"]


def stored(*, prefix: str, name: str = NOTIFICATION_ID, arn: str = QUEUE) -> Answer:
    """Answer with one notification, in S3's words."""
    rule = f"<FilterRule><Name>Prefix</Name><Value>{prefix}</Value></FilterRule>"
    entry = (
        f"<Id>{name}</Id><Queue>{arn}</Queue><Event>s3:ObjectCreated:*</Event>"
        f"<Filter><S3Key>{rule if prefix else ''}</S3Key></Filter>"
    )
    configuration = f"<QueueConfiguration>{entry}</QueueConfiguration>"
    return says(200, f"<NotificationConfiguration>{configuration}</NotificationConfiguration>".encode())


def test_the_same_statement_in_other_words_is_there() -> None:
    policy = with_statement({}, bucket="photos", queue_arn=QUEUE)
    assert policy is not None
    (statement,) = policy["Statement"]
    statement["Action"] = ["SQS:SendMessage"]
    statement["Condition"]["ArnEquals"]["aws:SourceArn"] = ["arn:aws:s3:::photos"]
    assert with_statement({"Statement": statement}, bucket="photos", queue_arn=QUEUE) is None


def test_several_buckets_may_send_events_to_a_queue() -> None:
    first = with_statement({}, bucket="photos", queue_arn=QUEUE)
    assert first is not None
    both = with_statement(first, bucket="more-photos", queue_arn=QUEUE)
    assert both is not None
    (statement,) = both["Statement"]
    assert statement["Condition"]["ArnEquals"] == {"aws:SourceArn": ["arn:aws:s3:::photos", "arn:aws:s3:::more-photos"]}
    assert with_statement(both, bucket="photos", queue_arn=QUEUE) is None


def test_our_own_notification_follows_the_queue() -> None:
    before = with_notification({}, queue_arn=OTHER)
    assert before is not None
    after = with_notification(before, queue_arn=QUEUE)
    assert after is not None
    (entry,) = after["QueueConfigurations"]
    assert entry["QueueArn"] == QUEUE


@pytest.mark.parametrize(("prefix", "arn"), [("", OTHER), ("inb", OTHER), ("inbox/2026", QUEUE)])
async def test_a_notification_that_overlaps_ours_is_reported_before_anything_is_changed(
    prefix: str, arn: str, script: Script
) -> None:
    answers_of_a_bare_queue(script)
    script.when("GET /photos", stored(prefix=prefix, name="theirs", arn=arn))
    with pytest.raises(SetupError) as caught:
        await wire_events(bucket="photos", queue="q")
    (problem,) = caught.value.problems
    assert f"notification theirs takes events of {prefix or 'every key'} to {arn}" in problem.what
    assert "SetQueueAttributes" not in script.operations
    assert "PUT /photos" not in script.operations


def answers_of_a_bare_queue(script: Script) -> None:
    script.when("GetQueueUrl", says(200, {"QueueUrl": "https://sqs.example/1/q"}))
    script.when("GetQueueAttributes", says(200, {"Attributes": {"QueueArn": QUEUE}}))
    script.when("SetQueueAttributes", says(200, {}))


async def test_a_notification_of_all_keys_to_this_queue_serves_and_is_reported(script: Script) -> None:
    answers_of_a_bare_queue(script)
    script.when("GET /photos", stored(prefix="", name="theirs"))
    (step,) = await wire_events(bucket="photos", queue="q")
    assert not step.made
    assert step.note == (
        "left alone: notification theirs brings them; it sends those of other uploads too, which are then queued twice"
    )


async def test_a_fifo_queue_is_reported_before_anything_is_asked(script: Script) -> None:
    with pytest.raises(SetupError) as caught:
        await wire_events(bucket="photos", queue="jobs.fifo")
    (problem,) = caught.value.problems
    assert problem.what == "queue jobs.fifo is a FIFO queue, and S3 sends no events to those"
    assert "EventBridge" in problem.fix
    assert not script.requests


@pytest.mark.parametrize(
    "policy", ["{", "7", '{"Statement": [7]}', '{"Statement": {"Sid": "thumbq-s3-events", "Condition": 7}}']
)
async def test_a_policy_that_cannot_be_read_is_reported_before_anything_is_changed(script: Script, policy: str) -> None:
    answers_of_a_bare_queue(script)
    script.when("GetQueueAttributes", says(200, {"Attributes": {"QueueArn": QUEUE, "Policy": policy}}))
    script.when("GET /b", says(200))
    with pytest.raises(SetupError, match="cannot be read"):
        await wire_events(bucket="b", queue="q")
    assert "SetQueueAttributes" not in script.operations


async def test_a_queue_without_an_arn_is_reported(script: Script) -> None:
    answers_of_a_bare_queue(script)
    script.when("GetQueueAttributes", says(200, {}))
    with pytest.raises(SetupError, match="does not say the ARN"):
        await wire_events(bucket="b", queue="q")


async def test_s3_gets_time_to_see_a_new_policy(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbq.aws.events._PAUSE_S", 0)
    answers_of_a_bare_queue(script)
    script.when("GET /photos", says(200, b"<NotificationConfiguration></NotificationConfiguration>"))
    script.then(refused(NOT_THERE), refused(NOT_THERE), says(200))
    steps = await wire_events(bucket="photos", queue="q")
    assert [step.made for step in steps] == [True, True]
    assert script.operations.count("PUT /photos") == 3


def refused(message: str) -> Answer:
    return says(400, f"<Error><Code>InvalidArgument</Code><Message>{message}</Message></Error>".encode())


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("GET /photos", s3_error(501, "NotImplemented")),
        ("GET /photos", s3_error(405, "MethodNotAllowed")),
        ("GET /photos", says(501)),
        ("PUT /photos", s3_error(501, "NotImplemented")),
        ("PUT /photos", s3_error(409, "BucketAlreadyExists")),
        ("PUT /photos", s3_error(409, "BucketAlreadyOwnedByYou")),
    ],
)
async def test_a_server_without_notifications_is_called_that(operation: str, answer: Answer, script: Script) -> None:
    answers_of_a_bare_queue(script)
    script.when("GET /photos", says(200, b"<NotificationConfiguration></NotificationConfiguration>"))
    script.when(operation, answer)
    with pytest.raises(SetupError) as refused:
        await wire_events(bucket="photos", queue="q")
    [problem] = refused.value.problems
    assert "has no event notifications" in problem.what
    assert "leave --events out" in problem.fix
    assert "moment" not in problem.fix


async def test_a_lasting_refusal_is_reported_with_its_fix(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbq.aws.events._SETTLING_S", 0)
    answers_of_a_bare_queue(script)
    script.when("GET /photos", says(200, b"<NotificationConfiguration></NotificationConfiguration>"))
    script.when("PUT /photos", refused(NOT_THERE))
    with pytest.raises(SetupError) as caught:
        await wire_events(bucket="photos", queue="q")
    (problem,) = caught.value.problems
    assert problem.what.startswith("S3 cannot send to the queue, so there are no events of inbox/")
    assert "one region and account" in problem.fix


@pytest.mark.parametrize(
    ("operation", "answer", "action"),
    [
        ("GetQueueAttributes", sqs_error(403, "AccessDeniedException"), "sqs:GetQueueAttributes"),
        ("SetQueueAttributes", sqs_error(403, "AccessDeniedException"), "sqs:SetQueueAttributes"),
        ("GET /photos", s3_error(403, "AccessDenied"), "s3:GetBucketNotification"),
        ("PUT /photos", s3_error(403, "AccessDenied"), "s3:PutBucketNotification"),
    ],
)
async def test_a_right_that_is_missing_is_reported_by_its_iam_name(
    operation: str, answer: Answer, action: str, script: Script
) -> None:
    answers_of_a_bare_queue(script)
    script.when("GET /photos", says(200, b"<NotificationConfiguration></NotificationConfiguration>"))
    script.when(operation, answer)
    with pytest.raises(SetupError) as caught:
        await wire_events(bucket="photos", queue="q")
    assert f"{action} is denied" in caught.value.problems[0].what


async def test_the_documented_cors_rule_lets_a_page_post_its_form(ministack: Clients, made: str) -> None:
    command = re.search(
        r"put-bucket-cors .* --cors-configuration '(.*)'", documents.example(PRESIGNED_UPLOADS, "Browsers", "text")
    )
    assert command is not None
    await ministack.s3.put_bucket_cors(Bucket=made, CORSConfiguration=json.loads(command[1]))
    (rule,) = (await ministack.s3.get_bucket_cors(Bucket=made))["CORSRules"]
    assert (rule["AllowedMethods"], rule["AllowedOrigins"]) == (["POST"], ["https://example.org"])
