"""Renders that take time, crash, hang, refuse, and take their whole replica along, as the image says."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Final

from simulation.model import MAGIC, kind_of
from support.doubles.rendering import FakeRenderer, pictures
from thumbq.errors import RenderKilled, RenderRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from random import Random

    from simulation.replica import Replica
    from thumbq.core.preset import Preset
    from thumbq.ports import Rendered, RenderProcess, RenderSource

KINDS: Final = (
    "good",
    "refused",
    "crashing",
    "crashing-preset",
    "hanging",
    "killer",
    "killing-preset",
    "denied",
    "archived",
)
"""``killer`` ends the whole replica whenever it is rendered: the container's memory limit, for instance.

Of those with a preset in their names only one of PRESETS does that.
"""

PRESETS: Final = ("thumbnail", "stretched", "jpgfiles")
"""What is made of such images; of all others the first alone."""


def image(kind: str, number: int) -> bytes:
    """Return an upload that renders as its kind says."""
    return MAGIC + f"{kind} {number}".encode()


def presets_of(kind: str) -> tuple[str, ...]:
    """Return the presets that an upload of a kind asks for; none are those of the routes."""
    return PRESETS if kind.endswith("-preset") else ()


def bad_preset(upload: bytes) -> str:
    """Return the preset that ends its renders."""
    return PRESETS[int(upload.split()[-1]) % len(PRESETS)]


class RenderModel(FakeRenderer):
    """A Renderer: ``processes`` children, each with at most one job."""

    def __init__(self, replica: Replica, random: Random, *, processes: int, timeout_s: float) -> None:
        super().__init__(processes=processes)
        self._replica = replica
        self._random = random
        self._timeout_s = timeout_s
        self.processes = processes
        self.running = 0

    @asynccontextmanager
    async def acquire(self, queue: str = "") -> AsyncIterator[RenderProcess]:
        async with self.process(queue):
            with ExitStack() as starting:
                starting.enter_context(self._replica.world.referee.render_starting(self._replica))
                yield _ProcessModel(self, starting)

    async def render(self, source: RenderSource, presets: Sequence[Preset]) -> Rendered:
        assert isinstance(source, BytesIO)
        kind = kind_of(source.getvalue())
        if presets_of(kind) and bad_preset(source.getvalue()) not in {preset.name for preset in presets}:
            kind = "the others"
        referee, replica = self._replica.world.referee, self._replica
        how = "was cut off"
        self.running += 1
        quarantined = replica.is_quarantined()
        hold = referee.render_started(replica, quarantined=quarantined)
        if hold is not None and kind == "killing-preset":
            hold.rendering = False  # the end of its replica is no excuse for what becomes of it
        if hold is not None:
            replica.world.ledger.check_render(hold)
        referee.record(replica.name, f"render {kind}{' (quarantined)' if quarantined else ''} of {hold}")
        if quarantined and hold is not None:
            replica.quarantined.append(hold)
        try:
            made = await self._child(kind, presets)
            result = replace(made, images=tuple(replace(one, body=source.getvalue()) for one in made.images))
            how = "ended"
        except RenderKilled:
            how = "crashed"
            if kind == "good" and hold is not None:
                referee.cuts[hold.message.id].append("child-killed")
            raise
        finally:
            self.running -= 1
            if quarantined and hold is not None:
                replica.quarantined.remove(hold)
            referee.record(replica.name, f"render {how}: {hold}")
            referee.render_ended(hold, how)
        return result

    async def _child(self, kind: str, presets: Sequence[Preset]) -> Rendered:
        """Be the child: it goes on while its replica is frozen, and dies with it."""
        faults = self._replica.world.faults
        takes_s = self._random.choice([0.01, 0.2, self._random.random()])
        killed = kind in {"crashing", "crashing-preset"} or (kind == "good" and faults.hit("child-killed"))
        if kind == "hanging":
            takes_s = self._timeout_s
        elif faults.hit("slow-render"):
            takes_s = self._random.uniform(0, self._replica.world.shape.longest_render_s)
        await self._until_done(takes_s)
        if self._replica.world.over:
            raise RenderRefused("over", "the run is over")
        if kind in {"killer", "killing-preset"}:
            self._replica.world.faults.note("killed-by-a-render")
            self._replica.kill()
            await asyncio.get_running_loop().create_future()
        if kind == "refused":
            raise RenderRefused("corrupt", "no image")
        if killed or kind == "hanging" or takes_s > self._timeout_s:
            code = "render-crashed" if killed else "decode-timeout"
            raise RenderKilled(code, f"the child was killed: {code}")
        return pictures(presets)

    async def _until_done(self, takes_s: float) -> None:
        loop = self._replica.world.loop
        done = loop.create_future()
        timer = loop.world_later(min(takes_s, self._timeout_s), _resolve, done)
        try:
            await done
        finally:
            timer.cancel()


class _ProcessModel:
    """A process that one job holds; ``starting`` ends when the job is handed over."""

    def __init__(self, model: RenderModel, starting: ExitStack) -> None:
        self._model = model
        self._starting = starting

    async def render(self, source: RenderSource, presets: Sequence[Preset]) -> Rendered:
        self._starting.close()
        return await self._model.render(source, presets)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
