"""What the handlers need; the composition root gives it to the application once."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
from aiohttp import web

from thumbq.core.links import NO_BASE, Links
from thumbq.errors import BackendUnavailable
from thumbq.web.accessrules import OPEN, AccessRules
from thumbq.web.admission import RunningUploads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.core.catalog import Catalog, CatalogInForce
    from thumbq.deletion.deleting import JobDeleter
    from thumbq.intake.claims import Claims
    from thumbq.intake.presigned import PresignedIntake
    from thumbq.intake.uploads import UploadIntake
    from thumbq.ports import Backend, Health
    from thumbq.ports.observing import Exposition
    from thumbq.web.jobstate import JobStates
    from thumbq.web.uploadlimits import UploadLimits
    from thumbq.web.waiting import Waiters
    from thumbq.webhooks.sender import CallbackSender


@dataclass(frozen=True, slots=True)
class WebServices:
    """Everything behind the HTTP side.

    ``backend_timeout_s`` is how long a client waits for the store and the queue: less than clients and balancers
    wait for an answer.
    """

    backend: Backend
    intake: UploadIntake
    health: Health
    limits: UploadLimits
    catalogs: CatalogInForce
    presigned: PresignedIntake
    states: JobStates
    waiters: Waiters
    deleter: JobDeleter
    claims: Claims
    callbacks: CallbackSender | None = None
    """None where none are called."""
    links: Links = NO_BASE
    access: AccessRules = OPEN
    backend_timeout_s: float = 20.0
    exposition: Exposition | None = None
    """None where there are no metrics."""

    @property
    def catalog(self) -> Catalog:
        """The catalog that is in force."""
        return self.catalogs.current


HEALTH_PATHS: Final = frozenset({"/livez", "/readyz"})
"""Asked all the time, by those who decide about restarts and balance requests."""

SERVICES: Final = web.AppKey("services", WebServices)
UPLOADS: Final = web.AppKey("uploads", RunningUploads)


@contextmanager
def in_time(services: WebServices) -> Iterator[None]:
    """Bound what only reads from the store; past the bound BackendUnavailable is raised."""
    timeout_s = services.backend_timeout_s
    with anyio.move_on_after(timeout_s) as bound:
        yield
    if bound.cancelled_caught:
        raise BackendUnavailable(f"the store did not answer within {timeout_s:g} s")
