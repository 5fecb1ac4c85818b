"""Whether a directory is the one that was opened, and can be written to."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from thumbq.core.job import ObjectRef
from thumbq.errors import AccessDenied, BackendUnavailable, NotSent, RestartNeeded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thumbq.ports import Backend


def moved(directory: Path) -> None:
    directory.rename(directory.parent / "moved")


def unmounted(directory: Path) -> None:
    """Leave the empty folder that something was mounted on."""
    moved(directory)
    directory.mkdir()


def replaced(directory: Path) -> None:
    moved(directory)
    shutil.copytree(directory.parent / "moved", directory)


def emptied(directory: Path) -> None:
    shutil.rmtree(directory / "objects")


async def check(backend: Backend) -> None:
    assert backend.upkeep is not None
    await backend.upkeep.check()


async def test_a_directory_in_use_is_in_good_condition(backend: Backend) -> None:
    await backend.store.put(ObjectRef("local", "a"), b"a", content_type="text/plain")
    await backend.queue.send("a")
    await check(backend)


@pytest.mark.parametrize("change", [moved, unmounted, replaced, emptied, shutil.rmtree])
async def test_a_directory_that_is_another_one_now_needs_a_restart(
    backend: Backend, directory: Path, change: Callable[[Path], None]
) -> None:
    await check(backend)
    change(directory)
    with pytest.raises(RestartNeeded):
        await check(backend)


@pytest.mark.parametrize("change", [moved, unmounted, replaced, shutil.rmtree])
async def test_nothing_is_said_to_be_stored_in_a_directory_that_is_gone(
    backend: Backend, directory: Path, change: Callable[[Path], None]
) -> None:
    await backend.queue.send("before")
    change(directory)
    with pytest.raises(BackendUnavailable):
        await backend.store.put(ObjectRef("local", "a"), b"a", content_type="text/plain")
    with pytest.raises(NotSent):
        await backend.queue.send("a")


async def test_a_directory_that_was_put_back_is_the_one_that_was_opened(backend: Backend, directory: Path) -> None:
    moved(directory)
    (directory.parent / "moved").rename(directory)
    await check(backend)


@pytest.mark.parametrize(
    ("flag", "free", "said"), [(os.ST_RDONLY, 1 << 30, "read-only"), (0, 1000, "full"), (0, 0, "full")]
)
async def test_a_read_only_or_full_file_system_is_told(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, flag: int, free: int, said: str
) -> None:
    status = SimpleNamespace(f_flag=flag, f_bavail=free, f_frsize=1)
    monkeypatch.setattr(os, "statvfs", lambda _: status)
    with pytest.raises(BackendUnavailable, match=said):
        await check(backend)


async def test_rights_that_were_taken_away_are_told(
    backend: Backend, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write to every file.
    monkeypatch.setattr(os, "access", lambda path, _mode: path != directory / "tmp")
    with pytest.raises(AccessDenied):
        await check(backend)
