"""How large the word of an outcome may be, and what it leaves out then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from thumbq.core.callbackmessage import content_of
from thumbq.core.outcome import StoredRendition

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.core.jobdocument import Rendition
    from thumbq.core.outcome import Outcome

_MAX_MESSAGE_CHARS: Final = 500


def fitting(outcome: Outcome, most_bytes: int) -> Outcome:
    """Return an outcome whose JSON is no larger: it leaves out what ``GET /jobs/{id}`` has, a step at a time."""
    found = outcome
    for shortened in _STEPS:
        if len(content_of(found.members())) <= most_bytes:
            return found
        found = shortened(outcome)
    return found


def _without_details(outcome: Outcome) -> Outcome:
    """Leave of each rendition only where it is."""
    return _with(outcome, {name: _place(rendition) for name, rendition in outcome.data.renditions.items()})


def _without_renditions(outcome: Outcome) -> Outcome:
    """Leave out what was made of each preset, and cut what went wrong."""
    shortened = _with(outcome, {})
    members: dict[str, Any] = {}
    if (error := shortened.data.error) is not None:
        members["error"] = error.model_copy(update={"message": error.message[:_MAX_MESSAGE_CHARS]})
    if shortened.data.failed:
        members["failed"] = {}
    return shortened.model_copy(update={"data": shortened.data.model_copy(update=members)})


_STEPS: Final[tuple[Callable[[Outcome], Outcome], ...]] = (_without_details, _without_renditions)


def _with(outcome: Outcome, renditions: dict[str, Any]) -> Outcome:
    return outcome.model_copy(update={"data": outcome.data.model_copy(update={"renditions": renditions})})


def _place(rendition: Rendition | StoredRendition) -> Rendition | StoredRendition:
    if isinstance(rendition, StoredRendition):
        return StoredRendition(bucket=rendition.bucket, key=rendition.key)
    return type(rendition)(url=rendition.url)
