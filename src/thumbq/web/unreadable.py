"""What is said of a request that aiohttp's parser has refused."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from aiohttp.http_exceptions import ContentEncodingError, InvalidURLError

from thumbq.web.problems import HttpProblem, problem_of

_MAX_REASON_CHARS: Final = 200
_QUOTES: Final = re.compile(r"[\n:'\"]")


def words(error: BaseException | None, message: str) -> str:
    """Return what the parser says, without what it quotes: a line that is too long may be a query or a cookie."""
    if isinstance(error, InvalidURLError):
        return "Invalid address"
    return _QUOTES.split(message, maxsplit=1)[0].rstrip()[:_MAX_REASON_CHARS]


def explain(status: int, error: BaseException | None, reason: str) -> HttpProblem:
    """Return the problem of a refusal by the parser; ``reason`` is in its words."""
    if status == HTTPStatus.REQUEST_TIMEOUT:
        return problem_of("request-timeout", f"The request came too slowly: {reason}")
    if isinstance(error, ContentEncodingError):
        return problem_of("content-encoding", "Send the body as it is, or compressed with gzip or deflate.")
    return problem_of("bad-request", f"The request is no HTTP that can be read: {reason}")
