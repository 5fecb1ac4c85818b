"""What an error of botocore or aiohttp means, whatever it is called."""

from __future__ import annotations

from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own, not an OSError
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSOError,
)
from botocore.parsers import ResponseParserError

from thumbq.errors import BadAnswer

FOREIGN: Final = (ClientError, BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError)
"""The exceptions that a call of aiobotocore raises for a reason outside this program."""


class Kind(Enum):
    """The meaning of an error."""

    UNREACHABLE = auto()
    """No answer: no connection, a time-out, an answer cut short."""
    BUSY = auto()
    """Throttled, a fault of the server, or a conflict with another request: the same request may do later."""
    CREDENTIALS = auto()
    DENIED = auto()
    ARCHIVED = auto()
    NO_OBJECT = auto()
    NO_BUCKET = auto()
    NO_QUEUE = auto()
    EXISTS = auto()
    REFUSED = auto()
    """Refused for another reason, such as a wrong request, a wrong region or a disabled key of KMS."""
    NONSENSE = auto()
    """An answer that cannot be read: something else than the service may have given it."""


_THROTTLED: Final = {
    "BandwidthLimitExceeded",
    "KmsThrottled",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
"""The names that say of a request that it was not carried out because there were too many."""

_CODES: Final = {
    Kind.BUSY: _THROTTLED
    | {
        "ConditionalRequestConflict",
        "InternalError",
        "InternalFailure",
        "OperationAborted",
        "OverLimit",
        "PriorRequestNotComplete",
        "PurgeQueueInProgress",
        "QueueDeletedRecently",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
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
    Kind.ARCHIVED: {"InvalidObjectState"},
    Kind.DENIED: {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "KmsAccessDenied", "403"},
}


_STATUSES: Final = {Kind.NO_OBJECT: HTTPStatus.NOT_FOUND, Kind.EXISTS: HTTPStatus.PRECONDITION_FAILED}
"""The statuses that go with meanings whose names others use, too: ``KMS.NotFoundException`` is about a key of KMS."""


def kind_of(error: BaseException) -> Kind:
    """Return the meaning of an error of ``FOREIGN``, or of BadAnswer."""
    if isinstance(error, ClientError):
        return _kind_of_answer(error)
    if isinstance(error, ParamValidationError):
        return Kind.REFUSED
    if isinstance(error, ResponseParserError | BadAnswer):
        return Kind.NONSENSE
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError | SSOError):
        return Kind.CREDENTIALS
    if isinstance(error, HTTPClientError | ConnectionError | aiohttp.ClientError | OSError):
        return Kind.UNREACHABLE
    return Kind.BUSY


def _kind_of_answer(error: ClientError) -> Kind:
    found, status = codes(error), status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and _is_page(error):
        return Kind.NONSENSE
    for kind, known in _CODES.items():
        if found & known and status == _STATUSES.get(kind, status):
            return kind
    if status == HTTPStatus.NOT_IMPLEMENTED:  # and never will be
        return Kind.REFUSED
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in (
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.CONFLICT,
    ):
        return Kind.BUSY
    return Kind.DENIED if status == HTTPStatus.FORBIDDEN else Kind.REFUSED


def _is_page(error: ClientError) -> bool:
    """Whether a page of HTML answered; one that is no XML has status 500 to botocore, though its own was 200."""
    headers: Any = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("content-type", "")).startswith("text/html")


def is_throttled(error: ClientError) -> bool:
    """Whether an answer says that the request was not carried out, because there were too many."""
    return status_of(error) == HTTPStatus.TOO_MANY_REQUESTS or bool(codes(error) & _THROTTLED)


def codes(error: ClientError) -> set[str]:
    """Return the names that an answer gives its error, without the prefixes of namespaces."""
    detail: Any = error.response.get("Error", {})
    names = (type(error).__name__, detail.get("Code", ""), detail.get("QueryErrorCode", ""))
    return {name.rpartition("#")[2].rpartition(".")[2] for name in names}


def status_of(error: ClientError) -> int:
    """Return the HTTP status of an answer, 0 where there is none."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def text_of(error: BaseException) -> str:
    """Return an error's text, or the name of its class where it has none (as a time-out)."""
    return str(error) or type(error).__name__
