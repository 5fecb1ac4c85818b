"""Jobs that their senders delete again: at any time, and by any replica, which may die between any two steps of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from thumbq.core import keys
from thumbq.errors import BackendError

if TYPE_CHECKING:
    import random

    from simulation.replica import Replica
    from simulation.world import World

WALL_CLOCKS_APART_S: Final = 2.0
"""How far clocks may be set in a world with deletions: how old one is, is told by wall clocks (see HOLD_S)."""

_AGAIN: Final = 0.2
_BOUND_S: Final = 60.0


async def delete_job(world: World, key: str, draw: random.Random) -> None:
    """Delete the job of an upload that was accepted, as often as it takes to have that answered."""
    await asyncio.sleep(draw.choice([0.0, 0.5, 5.0, 40.0, world.shape.faults_s]) * draw.random())
    job_id = keys.upload_id(key)
    assert job_id is not None
    world.ledger.deleting.add(key)
    world.faults.note("job-deleted")
    calls: list[tuple[Replica, asyncio.Task[bool]]] = []
    wanted = 2 if draw.random() < _AGAIN else 1
    while wanted:
        if serving := [one for one in world.serving() if not one.process.frozen]:
            replica = draw.choice(serving)
            world.referee.record("client", f"deletes {key} by {replica.name}")
            call = world.loop.create_task(replica.deleter.delete(job_id), context=replica.context.copy())
            calls.append((replica, call))
            await asyncio.wait([call], timeout=_BOUND_S)
            if call.done() and (error := call.exception()) is not None and not isinstance(error, BackendError):
                world.referee.violated(f"a deletion was answered with {error!r}")
            if call.done() and call.exception() is None:
                if not call.result():
                    world.referee.violated(f"there was no job to delete for {key}")
                world.referee.record("client", f"deleted {key}")
                world.ledger.deleted.add(key)
                wanted -= 1
        await asyncio.sleep(1 + draw.random())
    # One whose replica was frozen goes on, and begins another deletion, that has to come to its end as well.
    while any(not call.done() and not replica.process.dead for replica, call in calls):  # noqa: ASYNC110
        await asyncio.sleep(1)
