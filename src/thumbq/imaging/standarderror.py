"""What a decoder written in C says on standard error, where its caller keeps silent about it.

Pillow passes on whether libtiff failed, and not the errors after which libtiff goes on with pixels of its own.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_STDERR: Final = 2
_MOST_BYTES: Final = 1 << 16


class Said:
    """What was said; complete when the listening is over, but for what is beyond 64 KiB."""

    def __init__(self) -> None:
        self.words = b""


@cache
def prepare() -> tuple[int, int]:
    """Make the pipe, once: a process in its sandbox can make none."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


@contextmanager
def heard() -> Iterator[Said]:
    """Listen to standard error. A decoder that says more than a pipe holds loses the rest, and does not wait."""
    said = Said()
    reader, writer = prepare()
    usual = os.dup(_STDERR)
    os.dup2(writer, _STDERR, inheritable=False)
    try:
        yield said
    finally:
        os.dup2(usual, _STDERR, inheritable=False)
        os.close(usual)
        try:
            said.words = os.read(reader, _MOST_BYTES)
        except BlockingIOError:
            said.words = b""
