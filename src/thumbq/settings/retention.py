"""Settings of how long things are kept, and of the room for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, Field

from thumbq.core import keys
from thumbq.core.units import MIB
from thumbq.settings.faults import Fault, fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.core.catalog import Catalog

Days = Annotated[int, Field(ge=1, le=36_500, strict=True)]

DEAD_LETTERS_DAYS: Final = 18
"""How old a dead letter can become: four days on the queue and 14 on the dead-letter queue, as setup makes them."""
PRESIGNED_DAYS: Final = 8
"""A presigned upload is valid for a week at the most."""


class RetentionSettings(BaseModel):
    """How long things are kept."""

    retention: dict[str, Days] = Field(
        default={},
        description="`[retention]` table: days by key prefix. What is older is [removed](operations.md#retention).",
    )
    min_free_bytes: int = Field(
        default=64 * MIB,
        ge=0,
        description="Uploads are refused with 507 while the disk of the local directory has less room; 0 turns it off.",
    )

    def retention_faults(self, catalog: Catalog) -> Iterator[Fault]:
        """Yield the prefixes from which things would go that are needed still."""
        for prefix, days in self.retention.items():
            least = _least_days(prefix, catalog)
            if days < least:
                what = f"[retention] {prefix!r} = {days}: what lies there is needed for {least} days"
                if least == DEAD_LETTERS_DAYS:
                    what = f"[retention] {prefix!r} = {days}: dead letters, which become {least} days old, need it"
                yield fault("retention", "presets", what=what, fix=f"say {least} days or more")

    def kept_less_than(self, days: int, catalog: Catalog) -> Iterator[tuple[str, int]]:
        """Yield each prefix that dead letters of this age would miss something of, with its days."""
        for prefix, kept in self.retention.items():
            if kept < days and _least_days(prefix, catalog) == DEAD_LETTERS_DAYS:
                yield prefix, kept


def _least_days(prefix: str, catalog: Catalog) -> int:
    if prefix.startswith(keys.PRESIGNED_PREFIX):
        return PRESIGNED_DAYS
    of_thumbq = prefix.startswith(keys.OWN_PREFIXES)
    return 1 if catalog.is_output(prefix) and not of_thumbq else DEAD_LETTERS_DAYS
