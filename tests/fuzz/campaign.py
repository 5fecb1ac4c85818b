"""A fuzzing campaign: hostile inputs through a real pool, whose answers and processes are checked."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Final

import anyio

from fuzz import health, oracle
from fuzz.recipes import chosen
from fuzz.tally import MIB, Tally, Trace
from support.patience import patience, until
from support.processes.marked_pool import children_of, parent, whole
from thumbq.errors import RenderKilled, RenderRefused, RenderUnavailable
from thumbq.imaging import Limits
from thumbq.pool import PoolConfig, Recycling
from thumbq.pool.renderpool import RenderPool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fuzz.mutator import Input
    from thumbq.ports import Rendered

TIMEOUT_S: Final = 5
LIMITS: Final = Limits(max_cpu_s=2.5)
"""Half of the time that a render has: who is admitted and then runs out of it was taken for too cheap."""

MEMORY_LIMIT: Final = 512 * MIB
MOST_PEAK: Final = 556 * MIB
"""The most resident memory of a render process, whatever it is given."""

_LATE_S: Final = 2.0
_MOST_STALL_S: Final = 1.0
BATCH: Final = 100
_REPEATED: Final = 8
_REFUSALS: Final = {
    "unsupported-format", "too-large", "too-many-frames", "too-many-scans", "truncated", "corrupt", "out-of-memory",
}  # fmt: skip
_KILLS: Final = {"render-crashed", "decode-timeout"}


async def run(inputs: Iterable[Input]) -> Tally:
    """Send inputs through a pool of one render process, so that each one's peak is known."""
    config = PoolConfig(
        processes=1, memory_limit_bytes=MEMORY_LIMIT, timeout_s=TIMEOUT_S, limits=LIMITS, recycling=Recycling(jobs=400)
    )
    async with RenderPool(config) as pool, anyio.create_task_group() as tasks:
        campaign = Campaign(pool)
        tasks.start_soon(campaign.stalls.run)
        tasks.start_soon(campaign.peaks.run)
        remaining = iter(inputs)
        while batch := list(islice(remaining, BATCH)):
            await campaign.run(batch)
        tasks.cancel_scope.cancel()
    return campaign.tally


class Campaign:
    """Sends inputs through a pool and keeps the tally."""

    def __init__(self, pool: RenderPool) -> None:
        self.tally = Tally()
        self.stalls = health.StallWatch()
        self.peaks = health.PeakWatch()
        self._pool = pool
        self._descriptors = 0

    async def run(self, batch: list[Input]) -> None:
        """Render a batch, then look at its renditions and at the processes."""
        with self.stalls.watching():
            made = [(each, rendered) for each in batch if (rendered := await self._rendered(each)) is not None]
            for each, rendered in made:
                if each.index // 8 % _REPEATED == 0:
                    await self._repeat(each, rendered)
        for each, rendered in made:
            for fault in oracle.faults(rendered, chosen(each.seed, each.index), each.data):
                self._violation(each, fault)
        await self._look_at_processes(batch[-1])

    async def _rendered(self, each: Input) -> Rendered | None:
        """Render one input and count what became of it."""
        (pid,) = await whole(self._pool, 1)
        health.reset_peak(pid)
        before, cpu_before_s = health.peak_bytes(pid), health.cpu_s(pid)
        started, rendered, outcome = time.monotonic(), None, "rendered"
        try:
            with self.peaks.watching(pid):
                rendered = await self._render(each)
        except RenderRefused as refused:
            outcome = refused.code
            if outcome == "out-of-memory":
                self.tally.starved.append(f"{_named(each)}: {refused.text}")
            if outcome not in _REFUSALS:
                self._violation(each, f"refused as {outcome}: {refused.text}")
        except RenderKilled as killed:
            outcome = killed.code
            self.tally.killed.append(f"{_named(each)}: {killed.code}: {killed.text}")
            if outcome not in _KILLS or killed.text.startswith("the render failed"):
                self._violation(each, f"killed as {outcome}: {killed.text}")
        except RenderUnavailable as unavailable:
            outcome = "unavailable"
            self._violation(each, f"unavailable: {unavailable}")
        took_s = time.monotonic() - started
        if took_s > TIMEOUT_S + patience(_LATE_S):
            self._violation(each, f"answered after {took_s:.1f} s")
        used_s = health.cpu_s(pid) - cpu_before_s
        took = Trace(1000 * (used_s if used_s > 0 else took_s), each.name, each.source.name, outcome)
        self.tally.add(each.source.format.name, outcome, took, self._peak(before, each, outcome))
        return rendered

    async def _render(self, each: Input) -> Rendered:
        with self._pool.source() as source:
            source.write(each.data)
            async with self._pool.acquire() as process:
                return await process.render(source, chosen(each.seed, each.index))

    def _peak(self, before: int | None, each: Input, outcome: str) -> Trace | None:
        """Return the process's peak, also of one that has ended, if this input has raised it above what was left."""
        peak = self.peaks.peak_bytes
        if before is None or peak is None or peak - before < MIB:
            return None
        if peak > MOST_PEAK:
            self._violation(each, f"{outcome}, with {peak // MIB} MiB in memory")
        return Trace(peak // MIB, each.name, each.source.name, outcome)

    async def _repeat(self, each: Input, before: Rendered) -> None:
        """Render an input again, after others: what differs comes from memory that was another image's."""
        try:
            again = await self._render(each)
        except (RenderRefused, RenderKilled, RenderUnavailable) as error:
            self._violation(each, f"rendered once, and then {error}")
            return
        others = [new.preset for new, old in zip(again.images, before.images, strict=True) if new != old]
        if again != before:
            self._violation(each, f"rendered twice, with different results {others}")

    async def _look_at_processes(self, last: Input) -> None:
        (pid,) = await whole(self._pool, 1)
        server = parent(pid)
        try:
            await until(
                lambda: _only_process(self._pool, server), within_s=5, what="one render process, and no other left"
            )
            self._descriptors = self._descriptors or health.own_descriptors()
            await until(lambda: health.own_descriptors() <= self._descriptors, within_s=5, what="no more open files")
        except AssertionError as error:
            self._violation(last, str(error))
        self.tally.parent_bytes.append(health.own_bytes())
        self.tally.longest_stall_s = self.stalls.longest_s
        if self.stalls.longest_s > patience(_MOST_STALL_S):
            self._violation(last, f"the parent's event loop stood still for {self.stalls.longest_s:.1f} s")
            self.stalls.longest_s = 0

    def _violation(self, each: Input, what: str) -> None:
        self.tally.violations.append(f"{_named(each)}: {what}")


def _only_process(pool: RenderPool, server: int) -> bool:
    return len(pool.pids()) == 1 and children_of(server) == set(pool.pids())


def _named(each: Input) -> str:
    return f"{each.name} {each.source.name}"
