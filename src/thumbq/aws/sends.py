"""Whether a send that failed may have put its message into the queue all the same, over all tries of botocore."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import anyio
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
)

from thumbq.aws.errorkinds import FOREIGN, Kind, is_throttled, kind_of, status_of, text_of
from thumbq.errors import BackendUnavailable, BadAnswer, NotSent, SendRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from types_aiobotocore_sqs.client import SQSClient

    from thumbq.errors import BackendError

_tries: Final[ContextVar[list[bool]]] = ContextVar("tries")
"""Of the send under way, whether each of its tries certainly had no effect."""


def note_tries(sqs: SQSClient) -> None:
    """Have a client note how each try of a send ends: of those before the last one, no error of botocore tells."""
    for operation in ("SendMessage", "SendMessageBatch"):
        sqs.meta.events.register_first(f"needs-retry.sqs.{operation}", _note)


def _note(response: Any, caught_exception: BaseException | None, **_: Any) -> None:
    tries = _tries.get([])
    if response is None:
        tries.append(caught_exception is not None and _had_no_effect(caught_exception))
    elif response[0].status_code >= HTTPStatus.MULTIPLE_CHOICES:
        tries.append(_had_no_effect(ClientError(response[1], "SendMessage")))


@contextmanager
def translated_send(action: str, *, within_s: float) -> Iterator[Callable[[BaseException], BackendError]]:
    """Bound a send as ``translated`` does, and say what became of its message.

    Raises SendRefused when all tries certainly left no message (NotSent when another time may do), and
    BackendUnavailable when one may have. Yields what makes these of an error that is not raised: of one message of
    several.
    """
    tries: list[bool] = []

    def outcome(error: BaseException) -> BackendError:
        return _outcome(error, action, tries)

    token = _tries.set(tries)
    try:
        with anyio.fail_after(within_s):
            yield outcome
    except FOREIGN as error:
        raise outcome(error) from error
    finally:
        _tries.reset(token)


def _outcome(error: BaseException, action: str, tries: Sequence[bool]) -> BackendError:
    text = f"{action}: {text_of(error)}"
    if _had_no_effect(error) and all(tries) and len(tries) >= _tries_of(error):
        refused = kind_of(error) not in {Kind.BUSY, Kind.UNREACHABLE, Kind.CREDENTIALS}
        return (SendRefused if refused else NotSent)(text)
    return (BadAnswer if kind_of(error) is Kind.NONSENSE else BackendUnavailable)(text)


def _tries_of(error: BaseException) -> int:
    """Return how many tries have to be known beside an error; the answer to a first and only one says all."""
    if not isinstance(error, ClientError):
        return 0
    retries: int = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
    return retries + 1 if retries else 0


def _had_no_effect(error: BaseException) -> bool:
    """Whether a try certainly left no message: it was refused or throttled, or never reached the queue."""
    if isinstance(error, ClientError):
        if is_throttled(error):
            return True
        refused = HTTPStatus.BAD_REQUEST <= status_of(error) < HTTPStatus.INTERNAL_SERVER_ERROR
        return refused and kind_of(error) is not Kind.BUSY
    if isinstance(error, EndpointConnectionError):
        return _never_connected(error)
    return isinstance(error, ConnectTimeoutError | CredentialRetrievalError | NoCredentialsError | ParamValidationError)


def _never_connected(error: BotoCoreError) -> bool:
    # botocore calls a connection that broke by the same name.
    return isinstance(error.kwargs.get("error"), aiohttp.ClientConnectorError)
