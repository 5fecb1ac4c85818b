"""The one place where errors of botocore and aiohttp become thumbq's; for their meaning see ``errorkinds``.

Three rules settle the unclear cases:

- Credentials that no longer work (expired, not to be fetched, clock wrong) fail every request alike and may be
  refreshed any moment, so they are BackendUnavailable; AccessDenied is about one request.
- A send is refused only when all of its tries certainly left no message: see ``sends``. (botocore's own retries can
  also put it there twice; jobs are idempotent, so a duplicate costs work and nothing else.)
- A lost lease has many names: the modelled class, ``Code``, ``QueryErrorCode`` and the message are all looked at.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
from botocore.exceptions import ClientError

from thumbq.aws.errorkinds import FOREIGN, Kind, codes, kind_of, text_of
from thumbq.errors import (
    AccessDenied,
    BackendError,
    BackendRefused,
    BackendUnavailable,
    BadAnswer,
    ObjectArchived,
    ObjectExists,
    ObjectMissing,
)
from thumbq.ports import EntryResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


_MEANINGS: Final[Mapping[Kind, type[BackendError]]] = {
    Kind.DENIED: AccessDenied,
    Kind.ARCHIVED: ObjectArchived,
    Kind.NO_OBJECT: ObjectMissing,
    Kind.EXISTS: ObjectExists,
    Kind.REFUSED: BackendRefused,
    Kind.NONSENSE: BadAnswer,
}
"""What is not here may be well later: BackendUnavailable."""


@contextmanager
def translated(action: str, *, within_s: float | None = None) -> Iterator[None]:
    """Translate foreign errors of the body into thumbq's, and end the body after ``within_s`` seconds at the latest.

    The bound also covers what botocore's time-outs do not: waiting for a free connection, and fetching credentials.
    Without it the body reads pieces of an answer that has begun; each has to come within botocore's read time-out.
    ``action`` names the request in the error's text, such as "get bucket/key".
    """
    try:
        if within_s is None:
            yield
        else:
            with anyio.fail_after(within_s):
                yield
    except FOREIGN as error:
        raise _translation(error, action) from error


def member(answer: Any, name: str, action: str) -> Any:
    """Return what an answer must have. Raises BadAnswer."""
    try:
        return answer[name]
    except KeyError:
        raise BadAnswer(f"{action}: the answer has no {name}") from None


def not_offered(error: BackendError) -> bool:
    """Whether the server lacks an operation, or lacks it for this queue; a busy or absent server may have it."""
    return isinstance(error.__cause__, ClientError) and bool(codes(error.__cause__) & _NOT_OFFERED_CODES)


def is_conflict(error: BaseException | None) -> bool:
    """Whether S3 asks for another try because two conditional writes met."""
    return isinstance(error, ClientError) and "ConditionalRequestConflict" in codes(error)


def _translation(error: BaseException, action: str) -> BackendError:
    text = f"{action}: {text_of(error)}"
    return _MEANINGS.get(kind_of(error), BackendUnavailable)(text)


def entry_result(names: set[str], message: str) -> EntryResult:
    """Return what the failure of one entry of a batch means for the lease on its message."""
    folded = message.lower()
    if names & _LOST_CODES or any(text in folded for text in _LOST_TEXTS):
        return EntryResult.LOST
    if "beyond the limit" in folded or (names & _CAPPED_CODES and "visibilitytimeout" in folded.replace(" ", "")):
        return EntryResult.CAPPED
    return EntryResult.RETRY


def batch_result(error: BackendError) -> EntryResult:
    """Return what the refusal of a whole batch means for its entries: RETRY when it is not about them."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return EntryResult.RETRY
    return entry_result(codes(cause), cause.response.get("Error", {}).get("Message", ""))
