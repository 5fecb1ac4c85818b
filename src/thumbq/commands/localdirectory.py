"""What `thumbq local` does: a directory is backed up, and files that its database does not know are brought back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thumbq.errors import Problem, SetupError
from thumbq.local import is_local, recovering
from thumbq.local.backup import back_up as copy
from thumbq.local.restore import restore as restore_to
from thumbq.process import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.local.backup import BackedUp
    from thumbq.local.recovery import LostFile
    from thumbq.local.restore import Restored
    from thumbq.settings import Settings


def back_up(settings: Settings, destination: str, progress: Callable[[int], None], *, previous: str | None) -> BackedUp:
    """Copy the directory to another place; see ``thumbq.local.backup``. Raises SetupError and BackendError."""
    before = None if previous is None else Path(previous)
    return copy(_directory(settings), Path(destination), progress, previous=before)


def restore(settings: Settings, backup: str, progress: Callable[[int], None]) -> Restored:
    """Make the directory of a backup; see ``thumbq.local.restore``. Raises SetupError and BackendError."""
    return restore_to(Path(backup), _named(settings), progress)


async def recover(settings: Settings, *, apply: bool, report: Callable[[LostFile], None]) -> None:
    """Report lost files; with ``apply`` make them objects again first. Raises SetupError and BackendError."""
    async with recovering(_directory(settings), clock=SystemClock()) as recovery:
        await (recovery.recover(report) if apply else recovery.find(report))


def _named(settings: Settings) -> Path:
    if settings.local is None:
        raise SetupError([Problem("no local directory is named", "say --local DIR")])
    return settings.local


def _directory(settings: Settings) -> Path:
    if not is_local(_named(settings)):
        what = f"there is nothing of thumbq in the directory {settings.local}"
        raise SetupError([Problem(what, "name the directory that thumbq serve --local keeps things in")])
    return _named(settings)
