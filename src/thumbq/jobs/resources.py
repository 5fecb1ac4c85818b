"""What the jobs of all queues of a replica share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thumbq.core.catalog import CatalogInForce
from thumbq.deletion.tombstones import Tombstones
from thumbq.jobs.bytebudget import ByteBudget
from thumbq.jobs.countedrenderer import CountedRenderer
from thumbq.jobs.fencing import FencedStore
from thumbq.jobs.prioritylock import PriorityLock
from thumbq.jobs.storehealth import StoreHealth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.catalog import Catalog
    from thumbq.ports import Announcer, Backend, Clock, ObjectStore, Renderer
    from thumbq.settings import Settings


@dataclass(frozen=True, slots=True)
class JobResources:
    """One store, one pool of render processes, one budget of memory, and one lock for quarantined jobs."""

    store: ObjectStore
    bucket: str
    catalog: Catalog
    """What one job works with; the next one may have another, from ``catalogs``."""
    catalogs: CatalogInForce
    renderer: CountedRenderer
    budget: ByteBudget
    quarantine: PriorityLock
    health: StoreHealth
    clock: Clock
    tombstones: Tombstones
    announcers: Sequence[Announcer] = ()
    """Who is told of jobs that have ended, in this order."""


def make_job_resources(
    *,
    backend: Backend,
    renderer: Renderer,
    settings: Settings,
    clock: Clock,
    announcers: Sequence[Announcer] = (),
    catalogs: CatalogInForce | None = None,
) -> JobResources:
    """Return the resources; ``backend`` may be that of any of the queues.

    Without ``catalogs`` the catalog is that of the settings for good.
    """
    catalogs = catalogs or CatalogInForce(settings.catalog)
    store = FencedStore(backend.store)
    return JobResources(
        store=store,
        bucket=backend.bucket,
        catalog=catalogs.current,
        catalogs=catalogs,
        renderer=CountedRenderer(renderer),
        budget=ByteBudget(settings.max_in_flight_bytes, settings.queue_weights),
        quarantine=PriorityLock(settings.queue_weights),
        health=StoreHealth(backend.store, backend.bucket, clock),
        clock=clock,
        tombstones=Tombstones(store, backend.bucket, catalogs, clock),
        announcers=announcers,
    )
