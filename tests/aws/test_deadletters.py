"""Dead letters on SQS: what goes over the wire, and the move tasks that no emulator of this suite has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.servers.scripted import hangs_up, says, sqs_error
from thumbq.errors import AccessDenied, BackendUnavailable, SendRefused
from thumbq.ports import DeadLetter, EntryResult, MoveProgress, VisibilityChange

if TYPE_CHECKING:
    from support.servers.scripted import Answer, Script
    from thumbq.aws.deadletters import SqsDeadLetters

URL = "https://sqs.example/1/q-dlq"
ARN = "arn:aws:sqs:x:1:q"
NOTE = '{"code": "corrupt"}'
LISTED = says(200, {"Results": []})


def task(started_at: int, status: str = "COMPLETED", **more: Any) -> dict[str, Any]:
    return {"Status": status, "SourceArn": "arn:aws:sqs:x:1:q-dlq", "StartedTimestamp": started_at, **more}


async def test_a_dead_letter_carries_its_note_in_one_attribute(script: Script, dead_letters: SqsDeadLetters) -> None:
    script.then(says(200, {"MessageId": "m", "MD5OfMessageBody": "x"}))
    await dead_letters.send("cat.png", NOTE)
    [asked] = script.documents
    assert (asked["QueueUrl"], asked["MessageBody"]) == (URL, "cat.png")
    assert asked["MessageAttributes"] == {"thumbq": {"DataType": "String", "StringValue": NOTE}}


async def test_a_refused_dead_letter_is_certainly_not_there(script: Script, dead_letters: SqsDeadLetters) -> None:
    script.then(sqs_error(400, "InvalidParameterValue", "One or more parameters are invalid. Message must be shorter"))
    with pytest.raises(SendRefused):
        await dead_letters.send("cat.png", NOTE)


async def test_a_receive_asks_for_the_note_and_hides_for_as_long_as_asked(
    script: Script, dead_letters: SqsDeadLetters
) -> None:
    attributes = {"ApproximateReceiveCount": "2", "SentTimestamp": "1700000000123"}
    buried = {"MessageId": "b", "ReceiptHandle": "r1", "Body": "cat.png", "Attributes": attributes}
    buried |= {"MessageAttributes": {"thumbq": {"DataType": "String", "StringValue": NOTE}}}
    from_ours = {"Attributes": attributes | {"DeadLetterQueueSourceArn": ARN}}
    moved = {**buried, "MessageId": "m", "ReceiptHandle": "r2", "Body": "dog.png", **from_ours}
    from_another = {"Attributes": attributes | {"DeadLetterQueueSourceArn": f"{ARN}-of-others"}}
    foreign = {"MessageId": "f", "ReceiptHandle": "r3", "Body": "{}", **from_another}
    script.then(says(200, {"Messages": [buried, moved, foreign]}))

    letters = await dead_letters.receive(max_messages=10, wait_s=1, visibility_timeout_s=60)

    assert letters == [
        DeadLetter("b", "r1", "cat.png", NOTE, 1_700_000_000.123, 2),
        DeadLetter("m", "r2", "dog.png", None, 1_700_000_000.123, 2, moved=True),
        DeadLetter("f", "r3", "{}", None, 1_700_000_000.123, 2),
    ], "what SQS moved has the note of an earlier burial, if any; what another queue's is, is not ours"
    [asked] = script.documents
    assert (asked["QueueUrl"], asked["VisibilityTimeout"], asked["WaitTimeSeconds"]) == (URL, 60, 1)
    assert asked["MessageAttributeNames"] == ["thumbq", "traceparent", "tracestate"]


@pytest.mark.parametrize("trouble", [says(500), hangs_up, sqs_error(400, "ThrottlingException")])
async def test_a_receive_is_sent_once_whatever_happens(
    script: Script, dead_letters: SqsDeadLetters, trouble: Answer
) -> None:
    script.then(trouble)
    with pytest.raises(BackendUnavailable):
        await dead_letters.receive(max_messages=1, wait_s=0, visibility_timeout_s=4)
    assert script.operations == ["ReceiveMessage"]


async def test_batches_go_to_the_dead_letter_queue(script: Script, dead_letters: SqsDeadLetters) -> None:
    script.then(*[says(200, {"Successful": [{"Id": "0"}], "Failed": []})] * 2)
    assert await dead_letters.extend([VisibilityChange("r", 0)]) == [EntryResult.OK]
    assert await dead_letters.delete(["r"]) == [EntryResult.OK]
    assert script.operations == ["ChangeMessageVisibilityBatch", "DeleteMessageBatch"]
    assert [document["QueueUrl"] for document in script.documents] == [URL, URL]


@pytest.mark.parametrize("status", [400, 403])
async def test_a_second_purge_within_a_minute_is_to_be_tried_later(
    script: Script, dead_letters: SqsDeadLetters, status: int
) -> None:
    refusal = "Only one PurgeQueue operation on q-dlq is allowed every 60 seconds."
    header = "AWS.SimpleQueueService.PurgeQueueInProgress;Sender"
    script.then(sqs_error(status, "PurgeQueueInProgress", refusal, x_amzn_query_error=header))
    with pytest.raises(BackendUnavailable, match="every 60 seconds"):
        await dead_letters.purge()


async def test_a_move_goes_back_to_the_queue_at_the_rate_asked_for(
    script: Script, dead_letters: SqsDeadLetters
) -> None:
    script.then(LISTED, says(200, {"TaskHandle": "handle"}), LISTED, says(200, {"TaskHandle": "handle"}))
    assert await dead_letters.start_move(rate=50)
    assert await dead_letters.start_move(rate=None)
    move = {"SourceArn": "arn:aws:sqs:x:1:q-dlq", "DestinationArn": "arn:aws:sqs:x:1:q"}
    assert script.documents[1] == {**move, "MaxNumberOfMessagesPerSecond": 50}
    assert script.documents[3] == move


async def test_a_move_is_followed_to_its_end_though_sqs_then_no_longer_names_it(
    script: Script, dead_letters: SqsDeadLetters
) -> None:
    older = task(1000, ApproximateNumberOfMessagesMoved=99)
    script.then(says(200, {"Results": [older]}), says(200, {"TaskHandle": "ours"}))
    handle = await dead_letters.start_move(rate=None)
    assert handle is not None

    seen = []
    for results in (
        [older],  # not listed yet
        [task(2000, "RUNNING", TaskHandle="ours"), older],
        [task(2000, "RUNNING", TaskHandle="ours", ApproximateNumberOfMessagesMoved=7), older],
        [task(2000, "COMPLETED", ApproximateNumberOfMessagesMoved=12), older],
        [task(3000, "RUNNING", TaskHandle="next"), task(2000, ApproximateNumberOfMessagesMoved=12), older],
    ):
        script.then(says(200, {"Results": results}))
        seen.append(await dead_letters.move_progress(handle))

    assert seen == [
        MoveProgress(0, ended=False),
        MoveProgress(0, ended=False),
        MoveProgress(7, ended=False),
        MoveProgress(12, ended=True),
        MoveProgress(12, ended=True),
    ]


@pytest.mark.parametrize(
    ("listed", "progress"),
    [
        (
            task(1, "FAILED", ApproximateNumberOfMessagesMoved=3, FailureReason="AWS.SQS.AccessDenied"),
            MoveProgress(3, ended=True, failed="AWS.SQS.AccessDenied"),
        ),
        (task(1, "FAILED"), MoveProgress(0, ended=True, failed="failed")),
        (task(1, "CANCELLED"), MoveProgress(0, ended=True, failed="cancelled")),
        (task(1, "CANCELLING", TaskHandle="ours"), MoveProgress(0, ended=False)),
    ],
)
async def test_a_move_that_ended_early_says_why(
    script: Script, dead_letters: SqsDeadLetters, listed: dict[str, Any], progress: MoveProgress
) -> None:
    script.then(LISTED, says(200, {"TaskHandle": "ours"}), says(200, {"Results": [listed]}))
    handle = await dead_letters.start_move(rate=None)
    assert handle is not None
    assert await dead_letters.move_progress(handle) == progress


NOT_OFFERED = [
    sqs_error(400, "UnsupportedOperation", x_amzn_query_error="AWS.SimpleQueueService.UnsupportedOperation;Sender"),
    sqs_error(400, "InvalidAction", x_amzn_query_error="InvalidAction;Sender"),
    sqs_error(400, "UnknownOperationException"),
    says(501, b"not implemented"),
]


@pytest.mark.parametrize("refusal", NOT_OFFERED)
async def test_a_server_that_does_not_move_them_is_recognised_by_its_answer(
    script: Script, dead_letters: SqsDeadLetters, refusal: Answer
) -> None:
    script.when("ListMessageMoveTasks", LISTED)
    script.when("StartMessageMoveTask", refusal)
    assert await dead_letters.start_move(rate=None) is None
    script.when("ListMessageMoveTasks", refusal)
    assert await dead_letters.start_move(rate=None) is None


@pytest.mark.parametrize(
    "trouble",
    [
        hangs_up,
        says(503),
        says(502, b"<html>bad gateway</html>"),
        sqs_error(500, "InternalFailure"),
        sqs_error(400, "RequestThrottled", x_amzn_query_error="RequestThrottled;Sender"),
        sqs_error(400, "ThrottlingException"),
    ],
)
async def test_a_server_that_is_gone_or_throttles_may_well_have_moves(
    script: Script, dead_letters: SqsDeadLetters, trouble: Answer
) -> None:
    script.when("ListMessageMoveTasks", LISTED)
    script.when("StartMessageMoveTask", trouble)
    with pytest.raises(BackendUnavailable):
        await dead_letters.start_move(rate=None)


async def test_a_move_that_is_not_allowed_is_no_missing_operation(script: Script, dead_letters: SqsDeadLetters) -> None:
    script.then(LISTED, sqs_error(403, "AccessDeniedException"))
    with pytest.raises(AccessDenied):
        await dead_letters.start_move(rate=None)
