"""What the errors of botocore and aiohttp mean."""

from __future__ import annotations

import aiohttp
import anyio
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from thumbq.aws.errors import batch_result, entry_result, translated
from thumbq.aws.sends import translated_send
from thumbq.errors import (
    AccessDenied,
    BackendError,
    BackendRefused,
    BackendUnavailable,
    BadAnswer,
    NotSent,
    ObjectArchived,
    ObjectExists,
    ObjectMissing,
    SendRefused,
)
from thumbq.ports import EntryResult


def answer(status: int, code: str, message: str = "no", *, retries: int = 0, query_code: str = "") -> ClientError:
    detail = {"Code": code, "Message": message, "QueryErrorCode": query_code}
    return ClientError(
        {"Error": detail, "ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": retries}},  # type: ignore[typeddict-item]
        "Operation",
    )


THROTTLED = [
    answer(503, "SlowDown"),
    answer(400, "ThrottlingException"),
    answer(400, "RequestThrottled"),
    answer(403, "RequestThrottled"),
    answer(429, "429"),
    answer(400, "KMS.ThrottlingException"),
]
NEVER_SENT = [
    ConnectTimeoutError(endpoint_url="http://x"),
    CredentialRetrievalError(provider="role", error_msg="down"),
    NoCredentialsError(),
]
NOT_TAKEN = [*THROTTLED, *NEVER_SENT]
NO_ANSWER = [
    aiohttp.ClientPayloadError("cut"),
    aiohttp.ServerDisconnectedError(),
    ConnectionResetError("reset"),
    EndpointConnectionError(endpoint_url="http://x"),
    FlexibleChecksumError(error_msg="other bytes"),
    IncompleteReadError(actual_bytes=1, expected_bytes=2),
    *NEVER_SENT,
    ReadTimeoutError(endpoint_url="http://x"),
    ResponseParserError("this is no XML"),
    TimeoutError(),
]
TRY_LATER = [
    answer(500, "InternalError"),
    answer(503, "ServiceUnavailable"),
    answer(502, "502"),
    answer(400, "RequestTimeout"),
    answer(408, "408"),
    answer(409, "ConditionalRequestConflict"),
    answer(403, "OverLimit"),
    *THROTTLED,
]
CREDENTIALS = [
    answer(400, "ExpiredToken"),
    answer(403, "ExpiredTokenException"),
    answer(403, "InvalidAccessKeyId"),
    answer(403, "InvalidClientTokenId"),
    answer(403, "RequestTimeTooSkewed"),
    answer(403, "SignatureDoesNotMatch"),
    answer(400, "400"),
]


def named(error: BaseException) -> str:
    return f"{type(error).__name__}-{error}"[:60]


async def raised(error: BaseException) -> BackendError:
    with pytest.raises(BackendError) as caught, translated("try", within_s=5):
        raise error
    return caught.value


@pytest.mark.parametrize("error", [*NO_ANSWER, *TRY_LATER, *CREDENTIALS], ids=named)
async def test_what_may_be_well_later_is_unavailable(error: BaseException) -> None:
    meaning = BadAnswer if isinstance(error, ResponseParserError) else BackendUnavailable
    assert type(await raised(error)) is meaning


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (answer(403, "AccessDenied"), AccessDenied),
        (answer(400, "AccessDeniedException"), AccessDenied),
        (answer(403, "403"), AccessDenied),
        (answer(403, "InvalidObjectState"), ObjectArchived),
        (answer(404, "NoSuchKey"), ObjectMissing),
        (answer(404, "404"), ObjectMissing),
        (answer(404, "NoSuchBucket"), BackendUnavailable),
        (answer(412, "PreconditionFailed"), ObjectExists),
        (answer(400, "AWS.SimpleQueueService.NonExistentQueue"), BackendUnavailable),
        (answer(400, "KeyTooLongError"), BackendRefused),
        (ParamValidationError(report="no such bucket name"), BackendRefused),
        (answer(400, "KMS.DisabledException"), BackendRefused),
        (answer(400, "KMS.KMSInvalidStateException"), BackendRefused),
        (answer(400, "KMS.NotFoundException"), BackendRefused),
        (answer(400, "KMS.NotFound"), BackendRefused),
        (answer(400, "KmsDisabled"), BackendRefused),
        (answer(403, "KMS.AccessDeniedException"), AccessDenied),
        (answer(301, "PermanentRedirect"), BackendRefused),
        (answer(400, "AuthorizationHeaderMalformed"), BackendRefused),
        (answer(400, "BadDigest"), BackendRefused),
        (answer(501, "NotImplemented"), BackendRefused),
    ],
    ids=lambda value: named(value) if isinstance(value, BaseException) else "",
)
async def test_an_answer_has_one_meaning(error: BaseException, meaning: type[BackendError]) -> None:
    assert type(await raised(error)) is meaning


async def test_an_error_says_what_was_tried_and_keeps_its_cause() -> None:
    cause = answer(503, "SlowDown", "Reduce your request rate")
    refused = pytest.raises(BackendUnavailable, match=r"^put bucket/key: .*Reduce your request rate")
    with refused as caught, translated("put bucket/key", within_s=5):
        raise cause
    assert caught.value.__cause__ is cause


async def test_a_call_that_hangs_before_it_has_a_connection_ends_in_time() -> None:
    with pytest.raises(BackendUnavailable, match="beat: TimeoutError"), translated("beat", within_s=0.01):
        await anyio.sleep_forever()


async def test_a_cancellation_is_not_translated() -> None:
    with anyio.move_on_after(0.01) as outer, translated("beat", within_s=5):
        await anyio.sleep_forever()
    assert outer.cancelled_caught


async def test_a_bug_is_not_translated() -> None:
    with pytest.raises(KeyError), translated("beat", within_s=5):
        raise KeyError("MessageId")


@pytest.mark.parametrize(
    "error",
    [
        answer(400, "InvalidMessageContents"),
        answer(400, "InvalidParameterValue"),
        answer(400, "AWS.SimpleQueueService.NonExistentQueue"),
        answer(403, "AccessDenied"),
        answer(403, "ExpiredToken"),
        ParamValidationError(report="a body is text"),
    ],
    ids=named,
)
async def test_a_send_that_got_a_client_error_is_refused_for_certain(error: BaseException) -> None:
    with pytest.raises(SendRefused), translated_send("send", within_s=5):
        raise error


@pytest.mark.parametrize("error", NOT_TAKEN, ids=named)
async def test_a_send_that_was_throttled_or_never_left_is_certainly_not_in_the_queue(error: BaseException) -> None:
    with pytest.raises(SendRefused) as refused, translated_send("send", within_s=5):
        raise error
    assert isinstance(refused.value, NotSent)


@pytest.mark.parametrize(
    "error",
    [
        *(error for error in (*NO_ANSWER, *TRY_LATER) if error not in NOT_TAKEN),
        # An answer before was lost.
        answer(400, "InvalidParameterValue", retries=1),
        answer(403, "AccessDenied", retries=1),
    ],
    ids=named,
)
async def test_a_send_that_may_have_worked_is_not_refused(error: BaseException) -> None:
    with pytest.raises(BackendUnavailable), translated_send("send", within_s=5):
        raise error


LOST, CAPPED, RETRY = EntryResult.LOST, EntryResult.CAPPED, EntryResult.RETRY
OTHER_TEXT = "Value AQEB for parameter ReceiptHandle is invalid. Reason: "


@pytest.mark.parametrize(
    ("code", "message", "meaning"),
    [
        ("MessageNotInflight", "", LOST),
        ("AWS.SimpleQueueService.MessageNotInflight", "", LOST),
        ("ReceiptHandleIsInvalid", "The input receipt handle is invalid.", LOST),
        (
            "InvalidParameterValue",
            OTHER_TEXT + "Message does not exist or is not available for visibility timeout change.",
            LOST,
        ),
        ("InvalidParameterValue", OTHER_TEXT + "The receipt handle has expired.", LOST),
        (
            "InvalidParameterValue",
            "Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
            CAPPED,
        ),
        ("InvalidParameterValue", "Visibility timeout invalid", CAPPED),
        ("InternalError", "", RETRY),
        ("ThrottlingException", "Rate exceeded", RETRY),
        ("InvalidParameterValue", "something new", RETRY),
    ],
)
async def test_a_failed_entry_is_a_lost_lease_the_cap_or_nothing_sure(
    code: str, message: str, meaning: EntryResult
) -> None:
    assert entry_result({code.rpartition(".")[2]}, message) is meaning
    assert batch_result(await raised(answer(400, code, message))) is meaning


async def test_a_lost_lease_is_known_by_its_query_code_too() -> None:
    error = answer(400, "AWS.SimpleQueueService.Other", query_code="ReceiptHandleIsInvalid")
    assert batch_result(await raised(error)) is LOST


async def test_a_lost_lease_is_known_by_its_class_too() -> None:
    class MessageNotInflight(ClientError):
        """As botocore makes it from the service's model."""

    error = MessageNotInflight({"Error": {"Code": "Sender", "Message": ""}}, "ChangeMessageVisibility")
    assert batch_result(await raised(error)) is LOST


@pytest.mark.parametrize("error", [*NO_ANSWER, *TRY_LATER, *CREDENTIALS], ids=named)
async def test_no_outage_is_taken_for_a_lost_lease(error: BaseException) -> None:
    assert batch_result(await raised(error)) is RETRY
