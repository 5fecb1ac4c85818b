"""`python -m thumbq.cli.measured N serve …`: `thumbq serve …` for `thumbq bench service`, which it does not outlive.

N is the descriptor of the memory in which it counts its requests to S3 and SQS; without any, ``-``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from thumbq.bench.requestcounts import UNCOUNTED, RequestCounts
from thumbq.cli import main

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from aiohttp.connector import Connection

    from thumbq.aws.httpsession import Request

_PR_SET_PDEATHSIG: Final = 1


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def counted(counts: RequestCounts) -> type[Request]:
    """Return a kind of requests that are counted when they are sent: whoever makes one, and each try of it."""
    from thumbq.aws.httpsession import Request  # noqa: PLC0415 - only services on S3 and SQS load it

    class Counted(Request):
        async def send(self, conn: Connection) -> ClientResponse:
            counts.add(self.method, self.headers.get("X-Amz-Target"))
            return await super().send(conn)

    return Counted


def _count_requests(descriptor: int) -> None:
    from thumbq.aws.httpsession import HttpSession  # noqa: PLC0415 - the same

    HttpSession.request_class = counted(RequestCounts(descriptor))
    os.close(descriptor)


if __name__ == "__main__":
    _end_with_parent()
    if (number := sys.argv.pop(1)) != UNCOUNTED:
        _count_requests(int(number))
    main()
