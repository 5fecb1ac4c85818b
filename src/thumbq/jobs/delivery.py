"""A message on its way through the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thumbq.jobs.poison import Suspicion
    from thumbq.ports import ReceivedMessage


@dataclass(eq=False, slots=True)
class Work:
    """One receive of a message.

    ``started``: the render of the job that is its turn has got a process. ``stopping``: no further job of it should
    begin. ``suspicion``: what is known of that job's earlier renders.
    """

    message: ReceivedMessage
    started: bool = False
    stopping: bool = False
    suspicion: Suspicion | None = None
