"""The catalog: the presets that there are, the routes that choose among them, and where their outputs lie."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from thumbq.core import keys
from thumbq.core.preset import THUMBNAIL, Preset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Route(BaseModel):
    """Which presets are made of originals under a key prefix; the longest prefix that fits wins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str
    presets: tuple[str, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All presets by their names, and the routes. Every preset that a route names is there."""

    presets: Mapping[str, Preset]
    routes: Sequence[Route] = ()

    def presets_for(self, source_key: str) -> tuple[Preset, ...]:
        """Return the presets that the routes give an original; without a matching route that is ``thumbnail``."""
        matching = [route for route in self.routes if source_key.startswith(route.prefix)]
        names = max(matching, key=lambda route: len(route.prefix)).presets if matching else (THUMBNAIL.name,)
        return tuple(self.presets[name] for name in names)

    def presets_for_uploads(self) -> tuple[Preset, ...]:
        """Return the presets of uploads that name none."""
        return self.presets_for(keys.UPLOADS_PREFIX)

    def is_output(self, key: str) -> bool:
        """Whether a key lies where thumbq writes: it is then never a source, or events would start a loop."""
        return key.startswith((*keys.OWN_PREFIXES, *(preset.output_prefix for preset in self.presets.values())))


class CatalogInForce:
    """The catalog that holds now. Whoever asks twice may get another one, so a job asks once."""

    def __init__(self, catalog: Catalog) -> None:
        self._current = catalog
        self.preset_names: Collection[str] = _PresetNames(self)
        """The names of its presets, always those that hold now."""

    @property
    def current(self) -> Catalog:
        """The catalog."""
        return self._current

    def change(self, catalog: Catalog) -> None:
        """Put another catalog in force."""
        self._current = catalog


class _PresetNames(Collection[str]):
    def __init__(self, catalogs: CatalogInForce) -> None:
        self._catalogs = catalogs

    def __contains__(self, name: object) -> bool:
        return name in self._catalogs.current.presets

    def __iter__(self) -> Iterator[str]:
        return iter(self._catalogs.current.presets)

    def __len__(self) -> int:
        return len(self._catalogs.current.presets)
