"""What kind of run there is, drawn from its seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from thumbq.settings import Settings

if TYPE_CHECKING:
    import random


_BAD: Final = ("refused", "crashing", "crashing-preset", "hanging", "killer", "killing-preset")


@dataclass(frozen=True, slots=True)
class Shape:
    """What kind of run this is. Times are seconds."""

    kind: str
    settings: Settings
    replicas: int
    uploads: tuple[str, ...]
    faults_s: float
    max_receive_count: int | None
    dead_letters: bool
    longest_render_s: float
    render_timeout_s: float
    grid_s: float
    disasters: int
    pictures: int
    """How many originals others store, under keys where they are replaced."""
    deletions: float = 0.0
    """How likely the sender of an upload is to delete its job."""


@lru_cache(maxsize=1024)
def _settings(**values: int) -> Settings:
    return Settings(**values)  # type: ignore[arg-type]


def draw_shape(draw: random.Random, *, local: bool) -> Shape:
    """Draw a run's shape. The local backend looks for messages often, so that hours would take too long there."""
    kind = draw.choices(["faults", "deploys", "hours"], weights=[0.875, 0.12, 0.0 if local else 0.005])[0]
    # Never 30: a deletion's message is given back for so long, which must not look like a beat.
    timeout_s = draw.choice([4, 6, 10, 31]) if kind != "hours" else 14_400
    processes = draw.randint(1, 3)
    settings = _settings(
        processes=processes,
        concurrency=draw.choice([processes, processes + 1, processes + 3, 12]),
        visibility_timeout_s=timeout_s,
        wait_time_s=draw.choice([0, 1, 5, 20]) if kind != "hours" else 20,
        shutdown_deadline_s=draw.choice([3, 10, 30]),
    )
    pictures = 0 if local else draw.choice([0, 0, 1, 3])
    redrive = local or kind == "deploys" or draw.random() < 0.85
    bad = list(_BAD) if kind == "faults" and draw.random() < 0.5 else []
    if bad and not local:
        # Without a redrive policy what is denied is tried for ever.
        bad += ["archived", "denied"] if redrive else ["archived"]
    uploads = tuple(draw.choice(bad) if bad and draw.random() < 0.3 else "good" for _ in range(draw.randint(2, 7)))
    return Shape(
        kind=kind,
        settings=settings,
        replicas=draw.randint(1, 3),
        uploads=uploads,
        faults_s=draw.choice([20.0, 60.0, 120.0]) if kind != "hours" else 60_000.0,
        max_receive_count=(10 if kind == "deploys" else draw.choice([2, 4, 10, 10])) if redrive else None,
        dead_letters=redrive,
        longest_render_s=3.0 * timeout_s if kind != "hours" else 50_000.0,
        render_timeout_s=100.0 if kind != "hours" else 50_000.0,
        grid_s=draw.choice([0.0, 0.05, 0.25]),
        disasters=draw.randint(0, 5),
        pictures=pictures,
    )
