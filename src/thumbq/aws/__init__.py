"""S3 and SQS behind the ports."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from thumbq.aws.check import checked
from thumbq.aws.deadletters import SqsDeadLetters
from thumbq.aws.eventtargets import open_targets
from thumbq.aws.jobqueue import SqsQueue
from thumbq.aws.presigned import S3PresignedUploads
from thumbq.aws.session import open_clients
from thumbq.aws.store import S3Store
from thumbq.errors import SetupError
from thumbq.ports import Backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from thumbq.aws.addresses import QueueAddress
    from thumbq.aws.session import Clients
    from thumbq.errors import Problem
    from thumbq.ports import EventTarget

__all__ = ["assembled", "open_aws_queues"]


@asynccontextmanager
async def open_aws_queues(
    *,
    bucket: str,
    queues: Sequence[str],
    connections: int = 50,
    wait_time_s: int = 20,
    events: Sequence[str] = (),
    warn: Callable[[Problem], None] | None = None,
) -> AsyncIterator[tuple[Backend, ...]]:
    """Open a bucket, queues (names or URLs) and targets of events (ARNs); returns a Backend for each queue.

    All of them are checked. ``connections`` is the limit of each client, ``wait_time_s`` the longest wait of a receive
    in seconds. Raises SetupError with every problem and its fix; ``warn`` gets what is none yet.
    """
    async with open_clients(connections=connections, wait_time_s=wait_time_s, events=events) as clients:
        problems: list[Problem] = []
        addresses: list[QueueAddress] = []
        targets: tuple[EventTarget, ...] = ()
        with _collected(problems):
            addresses = await checked(clients, bucket=bucket, queues=queues)
        own = [arn for address in addresses for arn in (address.arn, address.dead.arn if address.dead else "")]
        with _collected(problems):
            targets = await open_targets(clients, events, own=own, warn=warn)
        if problems:
            raise SetupError(problems)
        yield tuple(assembled(clients, address, bucket, targets) for address in addresses)


@contextmanager
def _collected(problems: list[Problem]) -> Iterator[None]:
    try:
        yield
    except SetupError as error:
        problems.extend(error.problems)


def assembled(
    clients: Clients, address: QueueAddress, bucket: str, event_targets: Sequence[EventTarget] = ()
) -> Backend:
    """Put clients and addresses behind the ports."""
    queue = SqsQueue(clients.control, clients.polling, address)
    dead_letters = SqsDeadLetters(clients.control, clients.polling, address) if address.dead else None
    return Backend(
        S3Store(clients.s3, clients.fast_path),
        queue,
        bucket,
        dead_letters,
        presigned_uploads=S3PresignedUploads(clients.s3),
        fifo=address.fifo,
        event_targets=event_targets,
    )
