"""What S3 has made of a bucket by the time: its partitions, after the keys of uploads have come for a while."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from simulation.model import EPOCH
from simulation.scale.partitions import Partitions
from thumbq.core import keys
from thumbq.core.preset import THUMBNAIL

if TYPE_CHECKING:
    from collections.abc import Sequence

WARM_UP_S: Final = 12
"""Each split takes S3 a second here, and the last one takes place in the eighth."""


def warmed_up(a_second: float, key_prefixes: int, *, share: float = 1.0) -> tuple[Partitions, Sequence[float]]:
    """Return the partitions of a bucket, and which part of the requests they have refused in each second.

    So many uploads and their jobs come ``a_second``, up to the beginning of a world. ``share`` of S3's limits is what a
    partition takes.
    """
    draw = random.Random(f"{a_second} {key_prefixes}")
    partitions = Partitions(share)
    asked, refused = [0] * WARM_UP_S, [0] * WARM_UP_S
    now = 0.0
    while (now := now + draw.expovariate(a_second)) < WARM_UP_S:
        now_ms = int((EPOCH - WARM_UP_S + now) * 1000)
        source = keys.upload_key(keys.new_id(now_ms, draw.getrandbits(80), key_prefixes))
        rendition = THUMBNAIL.rendition_key(source, "image/jpeg")
        for key, write in ((source, True), (source, False), (rendition, True), (keys.manifest_key(source), True)):
            asked[int(now)] += 1
            refused[int(now)] += not partitions.admits(key, now - WARM_UP_S, write=write)
    return partitions, [part / whole for part, whole in zip(refused, asked, strict=True)]
