"""S3's partitions: ranges of one bucket's keys, each of which takes so many requests a second, and no more.

Sources: Amazon S3 User Guide, "Best practices design patterns: optimizing Amazon S3 performance" (3,500 writes and
5,500 reads a second for each partition, 503 SlowDown beyond, partitions are split under load). Where S3 splits, and how
soon, is its own matter: here a partition that refuses requests is split after a second, in the middle of those keys.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import deque
from dataclasses import dataclass, field
from typing import Final

WRITES_A_SECOND: Final = 3_500
READS_A_SECOND: Final = 5_500

_BURST_S: Final = 0.1
"""What a partition takes at once: as much as in this time."""

_SPLIT_AFTER_S: Final = 1.0
_RECENT: Final = 1_000


@dataclass(slots=True)
class _Rate:
    """Requests of one kind: as many as have come in the time, but for a burst."""

    a_second: float
    left: float = 0.0
    at: float = -math.inf

    def admits(self, now: float) -> bool:
        self.left = min(self.left + (now - self.at) * self.a_second, self.a_second * _BURST_S)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class _Partition:
    first_key: str
    writes: _Rate
    reads: _Rate
    hot_since: float | None = None
    refused: deque[str] = field(default_factory=lambda: deque(maxlen=_RECENT))


class Partitions:
    """The partitions of a bucket, at the beginning one. ``share`` of S3's limits is what each takes."""

    def __init__(self, share: float = 1.0) -> None:
        self._share = share
        self._partitions = [self._new("")]
        self.refused = 0

    def __len__(self) -> int:
        return len(self._partitions)

    def admits(self, key: str, now: float, *, write: bool) -> bool:
        """Whether a request is carried out; else its answer is 503 SlowDown."""
        at = bisect_right(self._partitions, key, key=_first_key) - 1
        partition = self._partitions[at]
        if (partition.writes if write else partition.reads).admits(now):
            return True
        self.refused += 1
        partition.refused.append(key)
        if partition.hot_since is None:
            partition.hot_since = now
        elif now - partition.hot_since > _SPLIT_AFTER_S:
            self._split(partition)
        return False

    def _split(self, partition: _Partition) -> None:
        refused = sorted(partition.refused)
        middle = refused[len(refused) // 2]
        partition.hot_since = None
        partition.refused.clear()
        if middle != partition.first_key:
            insort(self._partitions, self._new(middle), key=_first_key)

    def _new(self, first_key: str) -> _Partition:
        return _Partition(first_key, _Rate(WRITES_A_SECOND * self._share), _Rate(READS_A_SECOND * self._share))


def _first_key(partition: _Partition) -> str:
    return partition.first_key
