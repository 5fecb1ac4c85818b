"""Originals that others store themselves: replaced while they are at work, with messages late and out of order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from simulation.rendering import image
from thumbq.core import message
from thumbq.core.job import JobRequest, ObjectRef

if TYPE_CHECKING:
    from simulation.world import World

_LOOKS: Final = 100
_PRESETS: Final = ("thumbnail", "stretched", "jpgfiles")


async def store_pictures(world: World, number: int) -> None:
    """Store an original, and then others in its place, each with a message; or one, with a message for each preset."""
    draw, key = world.random, f"photos/{number}.jpg"
    await asyncio.sleep(draw.random() * world.shape.faults_s * draw.random())
    versions = draw.randint(1, 4)
    world.ledger.replaced[key] = set(_PRESETS) if versions == 1 else {"thumbnail"}
    all_asked_at = 0.0
    for version in range(versions):
        world.services.put(key, image("good", 1000 * number + version))
        world.referee.record("world", f"stored version {version} of {key}")
        if versions == 1:
            await _ask_in_turn(world, key)
        else:
            delay_s = draw.choice([0.0, 0.1, 3.0]) * draw.random()
            all_asked_at = max(all_asked_at, world.loop.now + delay_s)
            world.loop.world_later(delay_s, _ask, world, key, "thumbnail")
        await asyncio.sleep(draw.choice([0.02, 0.3, 5.0]) * draw.random())
    await asyncio.sleep(max(all_asked_at - world.loop.now, 0.0) + 0.01)


async def _ask_in_turn(world: World, key: str) -> None:
    """Ask for each preset once the one before is there."""
    for preset in _PRESETS:
        _ask(world, key, preset)
        for _ in range(_LOOKS):
            record = world.ledger.manifest_of(key)
            if record is not None and preset in record.renditions:
                break
            await asyncio.sleep(0.5)
        else:
            world.ledger.replaced[key] = set()  # it has failed, or comes after others that are asked for now


def _ask(world: World, key: str, preset: str) -> None:
    services = world.services
    services.send(message.encode(JobRequest(ObjectRef(services.bucket, key), (preset,))))
