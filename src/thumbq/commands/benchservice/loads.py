"""What a replica gets to do: originals, and how many jobs of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from thumbq.bench.figures import NotMeasured
from thumbq.commands import files
from thumbq.commands.bench import drawn
from thumbq.commands.files import text_of
from thumbq.core.formats import sniff
from thumbq.errors import UploadRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thumbq.bench.mixes import Mix

FILES: Final = "files"
"""Stands for the name of a mix that is no generated one."""
_JOBS_OF_FILES: Final = 40


@dataclass(frozen=True, slots=True)
class Amount:
    """How many jobs are measured (None: as many as the mix says), after ``warm`` others."""

    jobs: int | None
    warm: int


@dataclass(frozen=True, slots=True)
class Load:
    """So many ``jobs`` with these originals in turn, after ``warm`` others."""

    mix: str
    files: tuple[str, ...]
    bodies: tuple[bytes, ...]
    jobs: int
    warm: int

    @property
    def bytes(self) -> int:
        """How large the originals of the measured jobs are, together."""
        return sum(len(self.bodies[place % len(self.bodies)]) for place in range(self.jobs))


async def load_of_mix(mix: Mix, amount: Amount) -> Load:
    """Return a load of generated originals."""
    bodies = tuple([await drawn(case) for case in mix.cases])
    return Load(mix.name, (), bodies, amount.jobs or mix.jobs, amount.warm)


async def load_of_files(
    paths: Sequence[Path], amount: Amount, *, max_bytes: int, report: Callable[[NotMeasured], None]
) -> Load | None:
    """Return a load of files, None without any; ``report`` gets those that no upload could have."""
    bodies: dict[str, bytes] = {}
    for path in paths:
        try:
            bodies[text_of(path)] = await to_thread.run_sync(partial(_image, path, max_bytes))
        except UploadRefused as refusal:
            report(NotMeasured(text_of(path.name), text_of(path), refusal.code, refusal.text))
    if not bodies:
        return None
    return Load(FILES, tuple(bodies), tuple(bodies.values()), amount.jobs or _JOBS_OF_FILES, amount.warm)


def _image(path: Path, max_bytes: int) -> bytes:
    body = files.read(path, max_bytes=max_bytes)
    if sniff(body) is None:
        raise UploadRefused("unsupported-format", "the file is not an image of a known format")
    return body
