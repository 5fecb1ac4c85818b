"""The one place where errors of botocore and aiohttp become thumbq's.

Three rules decide what is not obvious:

- Credentials that no longer work (expired, not to be fetched, clock wrong) fail every request alike and may be
  refreshed any moment, so they are BackendUnavailable; AccessDenied is about one request.
- A send is refused only when SQS answered its first and only try with a client error. If a try before was lost,
  that one may have put the message into the queue. (botocore's own retries can also put it there twice; jobs are
  idempotent, so a duplicate costs work and nothing else.)
- A lost lease has many names: the modelled class, ``Code``, ``QueryErrorCode`` and the message are all looked at.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import anyio
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own, not an OSError
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
)
from botocore.parsers import ResponseParserError

from thumbq.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    ObjectExists,
    ObjectMissing,
    SendRefused,
)
from thumbq.ports import EntryResult

if TYPE_CHECKING:
    from collections.abc import Iterator

FOREIGN: Final = (ClientError, BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError)
"""Everything that a call of aiobotocore raises for a reason outside this program."""


class Kind(Enum):
    """What an error means, whatever it is called."""

    UNREACHABLE = auto()
    """No answer: no connection, a time-out, an answer cut short."""
    BUSY = auto()
    """Throttled, a fault of the server, or a conflict with another request: the same request may do later."""
    CREDENTIALS = auto()
    DENIED = auto()
    NO_OBJECT = auto()
    NO_BUCKET = auto()
    NO_QUEUE = auto()
    EXISTS = auto()
    INVALID = auto()
    """The request itself is wrong; it would fail every time."""


_CODES: Final = {
    Kind.BUSY: {
        "BandwidthLimitExceeded",
        "ConditionalRequestConflict",
        "InternalError",
        "InternalFailure",
        "KmsThrottled",
        "OperationAborted",
        "OverLimit",
        "PriorRequestNotComplete",
        "PurgeQueueInProgress",
        "QueueDeletedRecently",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    },
    Kind.CREDENTIALS: {
        "400",  # S3 to a HEAD, whose answer has no body to say "ExpiredToken"
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidToken",
        "MissingAuthenticationToken",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    },
    Kind.NO_QUEUE: {"NonExistentQueue", "QueueDoesNotExist"},
    Kind.NO_BUCKET: {"NoSuchBucket"},
    Kind.NO_OBJECT: {"NoSuchKey", "NotFound", "404"},
    Kind.EXISTS: {"PreconditionFailed", "412"},
    Kind.DENIED: {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "KmsAccessDenied", "403"},
}

_LOST_CODES: Final = {"MessageNotInflight", "ReceiptHandleIsInvalid"}
_LOST_TEXTS: Final = (
    "does not exist or is not available for visibility timeout change",
    "receipt handle has expired",
)
_CAPPED_CODES: Final = {"InvalidParameterValue", "InvalidParameterValueException"}

_NOT_OFFERED_CODES: Final = {
    "500",  # an answer without an error's name: moto fell over an operation that it does not have
    "501",
    "InvalidAction",
    "NotImplemented",
    "UnknownOperation",
    "UnknownOperationException",
    "UnsupportedOperation",
}


def kind_of(error: BaseException) -> Kind:
    """Say what an error of ``FOREIGN`` means."""
    if isinstance(error, ClientError):
        return _kind_of_answer(error)
    if isinstance(error, ParamValidationError):
        return Kind.INVALID
    if isinstance(error, NoCredentialsError | CredentialRetrievalError):
        return Kind.CREDENTIALS
    if isinstance(error, HTTPClientError | ConnectionError | aiohttp.ClientError | OSError):
        return Kind.UNREACHABLE
    return Kind.BUSY


def _kind_of_answer(error: ClientError) -> Kind:
    found = codes(error)
    for kind, known in _CODES.items():
        if found & known:
            return kind
    status = _status(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in (
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.CONFLICT,
    ):
        return Kind.BUSY
    return Kind.DENIED if status == HTTPStatus.FORBIDDEN else Kind.INVALID


def codes(error: ClientError) -> set[str]:
    """Return every name that an answer gives its error, without the prefixes of namespaces."""
    detail: Any = error.response.get("Error", {})
    names = (type(error).__name__, detail.get("Code", ""), detail.get("QueryErrorCode", ""))
    return {name.rpartition("#")[2].rpartition(".")[2] for name in names}


@contextmanager
def translated(action: str, *, within_s: float) -> Iterator[None]:
    """Raise thumbq's error for a foreign one of the body, which ends after ``within_s`` seconds at the latest.

    The bound also covers what botocore's time-outs do not: waiting for a free connection, and fetching credentials.
    ``action`` says what was tried, such as "get bucket/key".
    """
    try:
        with anyio.fail_after(within_s):
            yield
    except FOREIGN as error:
        raise _ours(error, action) from error


@contextmanager
def translated_send(action: str, *, within_s: float) -> Iterator[None]:
    """Bound a send as ``translated`` does; raise SendRefused or, if the message may be there, BackendUnavailable."""
    try:
        with anyio.fail_after(within_s):
            yield
    except FOREIGN as error:
        meaning = SendRefused if _surely_refused(error) else BackendUnavailable
        raise meaning(f"{action}: {text_of(error)}") from error


def _surely_refused(error: BaseException) -> bool:
    if isinstance(error, ParamValidationError):
        return True
    return (
        isinstance(error, ClientError)
        and HTTPStatus.BAD_REQUEST <= _status(error) < HTTPStatus.INTERNAL_SERVER_ERROR
        and kind_of(error) is not Kind.BUSY
        and error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) == 0
    )


def not_offered(error: BackendError) -> bool:
    """Say whether the server does not have an operation, or not for this queue; busy and gone servers may have it."""
    return isinstance(error.__cause__, ClientError) and bool(codes(error.__cause__) & _NOT_OFFERED_CODES)


def is_conflict(error: BaseException | None) -> bool:
    """Say whether S3 asks for another try because two conditional writes met."""
    return isinstance(error, ClientError) and "ConditionalRequestConflict" in codes(error)


def _ours(error: BaseException, action: str) -> BackendError:
    text = f"{action}: {text_of(error)}"
    match kind_of(error):
        case Kind.UNREACHABLE | Kind.BUSY | Kind.CREDENTIALS | Kind.NO_QUEUE | Kind.NO_BUCKET:
            return BackendUnavailable(text)
        case Kind.DENIED:
            return AccessDenied(text)
        case Kind.NO_OBJECT:
            return ObjectMissing(text)
        case Kind.EXISTS:
            return ObjectExists(text)
        case Kind.INVALID:
            return BackendError(text)


def entry_result(names: set[str], message: str) -> EntryResult:
    """Say what the failure of one entry of a batch means for the lease on its message."""
    folded = message.lower()
    if names & _LOST_CODES or any(text in folded for text in _LOST_TEXTS):
        return EntryResult.LOST
    if "beyond the limit" in folded or (names & _CAPPED_CODES and "visibilitytimeout" in folded.replace(" ", "")):
        return EntryResult.CAPPED
    return EntryResult.RETRY


def batch_result(error: BackendError) -> EntryResult:
    """Say what the refusal of a whole batch means for its entries: RETRY when it is not about them at all."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return EntryResult.RETRY
    return entry_result(codes(cause), cause.response.get("Error", {}).get("Message", ""))


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def text_of(error: BaseException) -> str:
    """Return an error's words, or its class where it has none (as a time-out)."""
    return str(error) or type(error).__name__
