"""The query of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from thumbq.web.problems import ProblemRaised, problem_of

if TYPE_CHECKING:
    from aiohttp import web
    from multidict import MultiMapping


def query_of(request: web.Request) -> MultiMapping[str]:
    """Return the query of a request.

    Raises ProblemRaised for one that is no UTF-8: aiohttp's has other characters in place of what cannot be read, which
    would be stored, or compared.
    """
    try:
        # Bytes that are not escaped and no UTF-8 arrive as lone surrogates.
        unquote_to_bytes(request.rel_url.raw_query_string.encode(errors="surrogateescape")).decode()
    except UnicodeDecodeError:
        text = "The query is no UTF-8: escape the bytes of UTF-8 (%C3%A9 for é)."
        raise ProblemRaised(problem_of("invalid-query", text)) from None
    return request.query
