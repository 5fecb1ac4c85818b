"""A render with its crash record: what kills it is in the store before any second render."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from thumbq.errors import RenderKilled
from thumbq.jobs import fencing
from thumbq.jobs.apart import render_apart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.preset import Preset
    from thumbq.jobs.poison import CrashHistory
    from thumbq.ports import Rendered, RenderProcess, RenderSource

_CLEAN_UP_S: Final = 0.5
"""How long an attempt that is cut off may take to close its crash record."""


class RecordedRender:
    """The render of one original in a process that the attempt holds; in quarantine, of each preset apart."""

    def __init__(
        self, original: RenderSource, process: RenderProcess, crashes: CrashHistory, *, last_receive: bool
    ) -> None:
        self._original = original
        self._process = process
        self._crashes = crashes
        self._last_receive = last_receive

    async def make(self, presets: Sequence[Preset]) -> Rendered:
        """Render. Raises what RenderProcess.render does, and BackendError when the crash record cannot be written."""
        try:
            return await self._make(presets)
        except anyio.get_cancelled_exc_class():
            if fencing.is_held():
                with anyio.move_on_after(_CLEAN_UP_S, shield=True):
                    await self._crashes.render_ended()
            raise

    async def _make(self, presets: Sequence[Preset]) -> Rendered:
        crashes = self._crashes
        try:
            if crashes.record.quarantined and len(presets) > 1:
                rendered = await render_apart(
                    self._render_alone, presets, endings=lambda name: crashes.record.of(name).endings
                )
            else:
                rendered = await self._render_once(presets)
        except RenderKilled as error:
            await crashes.render_killed(error)
            raise
        for one in rendered.not_made:
            if crashes.record.leaves_open(one.preset) and not self._last_receive:
                raise RenderKilled(one.code, one.text)
        await crashes.render_ended()
        return rendered

    async def _render_alone(self, preset: Preset) -> Rendered:
        """Make one of several presets. Raises RenderKilled also for one that has killed too many renders before."""
        crashes, name = self._crashes, preset.name
        if crashes.record.rules_out(name, last_receive=self._last_receive):
            past = crashes.record.of(name)
            raise RenderKilled(past.code, past.text)
        try:
            return await self._render_once([preset], alone=name)
        except RenderKilled as error:
            await crashes.render_killed(error, preset=name)
            raise

    async def _render_once(self, presets: Sequence[Preset], *, alone: str | None = None) -> Rendered:
        await self._crashes.render_begins(preset=alone)
        fencing.check()
        return await self._process.render(self._original, presets)
