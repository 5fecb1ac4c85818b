"""A render function for tests of the pool: it does what the first word of the bytes says.

Children import it by name, so it lies where Python finds it.
"""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING, NoReturn

from thumbq.imaging import Refusal
from thumbq.ports import Rendered, RenderedImage

if TYPE_CHECKING:
    import mmap
    from collections.abc import Sequence

    from thumbq.core.preset import Preset

STARTED = b"started\n"
STARTED_IN = "PYTHON_STARTED_IN"
"""Names the file that ``announce`` writes to. Of the environment only such names reach a render process."""

_announcements = os.open(os.environ[STARTED_IN], os.O_WRONLY | os.O_APPEND) if STARTED_IN in os.environ else -1
_leaked: list[bytearray] = []


class UnpicklableError(Exception):
    """Breaks an executor when it comes back from a render process as an exception."""

    def __init__(self, one: str, another: str) -> None:
        super().__init__(one + another)


def render(original: bytes | mmap.mmap, presets: Sequence[Preset]) -> Rendered | Refusal:
    """Do what the mark asks for; the default is a rendition with this process's id as its body."""
    mark = bytes(original[:200]).decode().split()
    match mark:
        case ["with", preset, *what]:
            if preset in {one.name for one in presets}:
                _misbehave(what)
        case ["refuse", code]:
            return Refusal(code, "as asked")
        case ["leak", mib, "refuse"]:
            _leak(int(mib))
            return Refusal("leaked", "as asked")
        case ["leak", mib]:
            _leak(int(mib))
        case _:
            _misbehave(mark)
    return _rendered(presets, str(os.getpid()).encode())


def _misbehave(mark: list[str]) -> None:
    match mark:
        case ["raise"]:
            raise UnpicklableError("one", "another")
        case ["signal", name]:
            os.kill(os.getpid(), signal.Signals[name])
        case ["exit", code]:
            os._exit(int(code))
        case ["eat"]:
            while True:
                _leak(16)
        case ["announce", *rest]:
            os.write(_announcements, STARTED)
            _hold(rest)
        case ["hold" | "spin" as how]:
            _hold([how])
        case _:
            pass


def _leak(mib: int) -> None:
    _leaked.append(bytearray(mib << 20))


def _rendered(presets: Sequence[Preset], body: bytes) -> Rendered:
    images = tuple(RenderedImage(preset.name, body, 1, 1, preset.content_types[0]) for preset in presets)
    return Rendered("TEXT", 1, 1, images)


def _hold(how: list[str]) -> NoReturn:
    """Never come back: waiting, or in C code that lets no other Python thread run."""
    if how == ["spin"]:
        re.fullmatch(r"(a|a)*b", "a" * 200)
    while True:
        time.sleep(3600)
