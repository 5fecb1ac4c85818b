"""The files that users give to commands."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from thumbq.errors import Problem, SetupError, UploadRefused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def text_of(name: str | Path) -> str:
    """Return a file's name as valid text for keys and JSON, with U+FFFD for every byte that is not UTF-8."""
    return os.fsencode(name).decode(errors="replace")


def check_distinct(targets: Iterable[tuple[Path, str]]) -> None:
    """Raise SetupError when two files would get the same key."""
    taken: dict[str, Path] = {}
    problems = []
    for file, key in targets:
        other = taken.setdefault(key, file)
        if other != file:
            what = f"{text_of(other)} and {text_of(file)} would both become {key}"
            problems.append(Problem(what, "rename one, or run the command once for each, with different places"))
    if problems:
        raise SetupError(problems)


def read(file: Path, *, max_bytes: int) -> bytes:
    """Return a file's bytes, as many as it has now. Raises UploadRefused, also for endless files: devices, pipes."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UploadRefused("not-a-file", "this is not a regular file")
        if status.st_size > max_bytes:
            text = f"the file has {status.st_size} bytes, more than the {max_bytes} that are taken"
            raise UploadRefused("too-large", text)
        with file.open("rb") as opened:
            return opened.read(status.st_size)
    except OSError as error:
        raise UploadRefused("unreadable", error.strerror or str(error)) from error
