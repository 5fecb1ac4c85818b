"""Apart: the presets of an original rendered one by one, after a render of all of them together was killed.

One that kills its render costs itself only then. Each has the whole time-out, and a decode of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from thumbq.errors import RenderKilled, RenderRefused
from thumbq.ports import NotMade
from thumbq.ports.rendering import NOT_MADE_CODES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from thumbq.core.preset import Preset
    from thumbq.ports import Rendered
    from thumbq.ports.rendering import KilledCode, NotMadeCode


async def render_apart(
    render: Callable[[Preset], Awaitable[Rendered]],
    presets: Sequence[Preset],
    *,
    endings: Callable[[str], int] = lambda _: 0,
) -> Rendered:
    """Make each of ``presets`` alone with ``render``, and return the result as of one render.

    The lightest is the first, but last are those that have ended renders so far: ``endings`` counts them, by preset.

    Of the presets that are killed before any is made the second ends it: the image itself is at fault.

    What is killed, is too dear or runs out of memory is not made. Anything else that ``render`` raises ends it, as the
    image is refused for all. When none was made the last kill is raised, or else the last refusal.
    """
    made: dict[str, Rendered] = {}
    not_made: dict[str, NotMade] = {}
    killed: RenderKilled | None = None
    refused: RenderRefused | None = None
    for preset in sorted(presets, key=lambda one: (endings(one.name), one.weight)):
        try:
            made[preset.name] = await render(preset)
        except RenderKilled as error:
            not_made[preset.name] = NotMade(preset.name, cast("KilledCode", error.code), error.text)
            if killed is not None and not made:
                raise
            killed = error
        except RenderRefused as error:
            if error.code not in NOT_MADE_CODES:
                raise
            not_made[preset.name] = NotMade(preset.name, cast("NotMadeCode", error.code), error.text)
            refused = error
    if not made:
        raise killed or refused or AssertionError("there are no presets")
    return _together([preset.name for preset in presets], made, not_made)


def _together(names: Sequence[str], made: Mapping[str, Rendered], not_made: Mapping[str, NotMade]) -> Rendered:
    """Return one result of several; an animation is a still when one of them has found its frames damaged."""
    return replace(
        next(iter(made.values())),
        images=tuple(image for name in names if name in made for image in made[name].images),
        frames=min(one.frames for one in made.values()),
        not_made=tuple(not_made[name] for name in names if name in not_made),
    )
