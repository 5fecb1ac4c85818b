"""The order of the looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thumbq.backends import NO_BACKEND
from thumbq.commands.doctor.findings import Findings, Level
from thumbq.commands.doctor.machine import look_at_directory, look_at_renders, look_at_settings
from thumbq.commands.doctor.values import Value, values
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thumbq.commands.doctor.findings import Finding
    from thumbq.ports import Clock
    from thumbq.settings import Settings


@dataclass(frozen=True, slots=True)
class Examined:
    """All that was looked at, and what was found."""

    settings: Sequence[Value]
    findings: Sequence[Finding]

    @property
    def exit_code(self) -> int:
        """2 where something could not be looked at, 1 with findings, else 0."""
        levels = {finding.level for finding in self.findings}
        return 2 if Level.NOT_SEEN in levels else int(Level.FINDING in levels)


async def examine(settings: Settings, places: Mapping[str, str], *, clock: Clock, renders: bool = True) -> Examined:
    """Look at everything; ``places`` says where each setting is written. ``renders``: a render process is started."""
    findings = Findings()
    look_at_settings(settings, findings)
    if renders:
        await look_at_renders(settings, findings)
    if settings.local is not None:
        look_at_directory(settings, settings.local, findings)
    elif settings.bucket is None or any(config.queue is None for config in settings.queue_configs):
        findings.problems(
            [Problem(NO_BACKEND.partition(".")[0], "set THUMBQ_BUCKET and THUMBQ_QUEUE, or name --local DIR")],
            Level.NOT_SEEN,
        )
    else:
        await _look_at_aws(settings, findings, clock)
    if settings.webhooks is not None:
        from thumbq.commands.doctor.hosts import look_at_hosts  # noqa: PLC0415 - only where there are callbacks

        await look_at_hosts(settings, findings)
    return Examined(tuple(values(settings, places)), findings.all())


async def _look_at_aws(settings: Settings, findings: Findings, clock: Clock) -> None:
    from thumbq.aws.session import open_clients  # noqa: PLC0415 - botocore takes a third of a second to import
    from thumbq.commands.doctor.bucket import look_at_bucket  # noqa: PLC0415 - the same
    from thumbq.commands.doctor.events import look_at_events  # noqa: PLC0415 - the same
    from thumbq.commands.doctor.queues import look_at_queues  # noqa: PLC0415 - the same
    from thumbq.commands.doctor.targets import look_at_targets  # noqa: PLC0415 - the same

    try:
        async with open_clients(connections=4, wait_time_s=0, events=settings.events) as clients:
            answers = await look_at_bucket(clients.s3, settings, findings, clock)
            seen = await look_at_queues(clients, settings, findings)
            default = seen.get(settings.default_queue.queue or "")
            if answers and default is not None and not default.address.fifo:
                await look_at_events(clients.s3, settings, default, findings)
            await look_at_targets(clients.publishing, settings, findings)
    except SetupError as error:
        findings.problems(error.problems, Level.NOT_SEEN)
