"""What schemathesis is told besides the document: files, the order of a form's parts, and two errors of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import schemathesis
from hypothesis import strategies
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import AllowHeaderMismatch

from support.pictures import images
from thumbq.web.fields import is_option

if TYPE_CHECKING:
    from schemathesis import Case, HookContext, Response

FILES: Final = (
    images.small_jpeg(),
    images.png_with_alpha(40, 30),
    images.animated_gif(20, 10),
    images.truncated_jpeg(100, 80),
    images.small_jpeg()[:10],
    b"",
)
schemathesis.openapi.format("binary", strategies.sampled_from(FILES))


def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Send files behind all other parts of a form."""
    del context, kwargs
    if isinstance(case.body, dict) and "file" in case.body:
        # In place: of another body schemathesis thinks that it has become a wrong one.
        case.body["file"] = case.body.pop("file")


_READ_TOO = ("/jobs/{id}/webhook", "/queues/{queue}/dead-letters/redrive", "/queues/{queue}/dead-letters/remove")


def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """Leave out where schemathesis is wrong.

    A form without any field is said to break the pattern of fields' names; and a callback's path is that of a rendition
    too, and those that see to dead letters are those of letters with such ids: GET is allowed there, as Allow says.
    """
    del context, response
    without_fields = isinstance(case.body, dict) and not any(map(is_option, case.body))
    if isinstance(failure, AcceptedNegativeData) and case.path == "/upload" and without_fields:
        return False
    return not (isinstance(failure, AllowHeaderMismatch) and case.path in _READ_TOO)


# Not as decorators: where schemathesis is not installed mypy would call all of them untyped.
for each in (before_call, filter_failure):
    schemathesis.hook(each)
