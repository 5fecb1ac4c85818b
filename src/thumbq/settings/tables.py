"""The tables of the settings file that there can be several of."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

QUEUE_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class QueueTable(BaseModel):
    """One of several queues that a replica works on; without weights, those that are listed first come first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=QUEUE_NAME)] = Field(description="What `priority` calls it.")
    queue: str | None = Field(default=None, description="SQS queue, by name or URL. A local directory needs none.")
    weight: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        strict=True,
        description="Its share of the renders while others wait too. All queues have one or none has: then the order"
        " decides.",
    )
    wait_time_s: int | None = Field(
        default=None, ge=0, le=20, description="Long poll of this queue; by default `THUMBQ_WAIT_TIME_S`."
    )
    default: bool = Field(
        default=False, description="Takes what comes without a `priority`; by default the first one does."
    )
