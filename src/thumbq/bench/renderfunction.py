"""Render functions of this package for the pool, named where Pillow is not loaded."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thumbq.core.preset import Preset
    from thumbq.imaging import Original, Refusal
    from thumbq.ports import Rendered


class NamedRenderFunction:
    """A render function by its name, with options; the render process that it is sent to imports its module."""

    def __init__(self, module: str, name: str, **options: object) -> None:
        self._module = module
        self._name = name
        self._options = options

    def __call__(self, original: Original, presets: Sequence[Preset]) -> Rendered | Refusal:
        """Call the function."""
        function: Callable[..., Rendered | Refusal] = getattr(import_module(self._module), self._name)
        return function(original, presets, **self._options)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Import the function on arrival: in its sandbox a render process cannot."""
        self.__dict__.update(state)
        import_module(self._module)
