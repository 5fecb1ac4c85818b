"""The limits of uploads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_FORM_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much one process takes at once.

    ``max_file_bytes`` and ``max_files`` bound a request, ``max_concurrent`` files of the largest size may be in memory
    together. One that finds no room waits ``queue_s`` seconds, beside at most ``max_waiting`` others. A client may keep
    us waiting for a byte for ``stall_timeout_s``, and while others wait it has to send ``min_bytes_per_s``.
    """

    max_file_bytes: int = 25 << 20
    max_files: int = 20
    max_concurrent: int = 16
    max_waiting: int = 64
    queue_s: float = 5.0
    stall_timeout_s: float = 30.0
    min_bytes_per_s: int = 16 << 10

    @property
    def max_request_bytes(self) -> int:
        """How many bytes of one request are read at all: the files, and a little for the form around them."""
        return self.max_files * self.max_file_bytes + _FORM_BYTES

    @property
    def memory_bytes(self) -> int:
        """How many bytes all uploads together may reserve."""
        return self.max_concurrent * self.max_file_bytes
