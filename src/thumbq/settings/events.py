"""Settings of who in AWS is told that jobs have ended."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from thumbq.core import targetarn
from thumbq.settings.lists import Texts


def _targets(texts: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [text for text in texts if targetarn.parse(text) is None]
    faults = (
        [f"no ARN of a topic, queue or bus: {', '.join(map(repr, wrong))} (write {targetarn.FORMS})"] if wrong else []
    )
    faults += [f"{text!r} stands there {times} times" for text, times in Counter(texts).items() if times > 1]
    if faults:
        raise ValueError("; ".join(faults))
    return texts


class EventSettings(BaseModel):
    """What events are published to."""

    events: Annotated[Texts, AfterValidator(_targets)] = Field(
        default=(),
        description="ARNs of SNS topics, SQS queues and EventBridge buses that are told of each job's end.",
    )
