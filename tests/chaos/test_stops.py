"""SIGTERM at any moment under load: in order, in time, and no message has to wait for its time-out."""

from __future__ import annotations

import signal
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import pytest
from PIL import Image

from support.pictures import images
from support.replicas.fleet import logged, story
from support.replicas.place import queued

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from support.replicas.place import Place

pytestmark = pytest.mark.chaos

DEADLINE_S = 6
SHORT, FULL = 2, 50


@dataclass(frozen=True)
class Receive:
    replica: int
    count: int
    given_back: bool
    """Whether it was released because the replica stopped."""


@pytest.fixture(params=[pytest.param("local_place", marks=pytest.mark.long), "place"], ids=["local", "aws"])
def anywhere(request: pytest.FixtureRequest) -> Place:
    place: Place = request.getfixturevalue(request.param)
    return place


async def test_stops_at_random_moments_end_in_time_strand_nothing_and_bury_nothing(
    anywhere: Place, form: str, random: Random, figure: Callable[[str, object], None]
) -> None:
    place = anywhere
    stops = FULL if form == "full" else SHORT
    slow = images.encoded(Image.new("RGB", (2400, 1800)), "PNG")
    took_s, ids = [], []
    async with place.backend() as backend:
        for _ in range(stops):
            # With a backlog the stop meets jobs at work; with three messages it often meets an open receive.
            bodies = [random.choice([slow, images.small_jpeg()]) for _ in range(random.choice([3, 80]))]
            ids += await queued(backend, bodies)
            replica = await place.replica(wait_time_s=1, shutdown_deadline_s=DEADLINE_S, log_level="debug")
            await anyio.sleep(random.uniform(0, 1))
            stopped_at = anyio.current_time()
            replica.signal(signal.SIGTERM)
            assert await replica.ended(within_s=DEADLINE_S) == 0
            took_s.append(round(anyio.current_time() - stopped_at, 3))
            assert "Traceback" not in replica.stderr()
            counts = await backend.queue.counts()
            assert (counts.in_flight, counts.delayed, counts.dead) == (0, 0, 0), replica.stderr()

    successor = await place.replica(wait_time_s=1, log_level="debug")
    await place.queue_empty(within_s=60)
    receives = _receives(place)
    for of_message in receives.values():
        receive_counts = [receive.count for receive in of_message]
        assert receive_counts == list(range(1, len(of_message) + 1)), "a receive of which no replica knows"
        # A receive that is open at the stop may bring what has just been given back.
        assert all(earlier.given_back or earlier.replica < later.replica for earlier, later in pairwise(of_message)), (
            "a message was received twice between two stops"
        )
    done = [line["job_id"] for line in logged(place, "job.done")]
    figure("stops", stops)
    figure("seconds from SIGTERM to the exit, at most and in the mean", (max(took_s), round(sum(took_s) / stops, 3)))
    figure("jobs, and how many of them the last replica did", (len(ids), len(successor.events("job.done"))))
    figure("most receives of a message", max(map(len, receives.values())))
    for job_id in ids:
        assert done.count(job_id) == 1, story(place, job_id)


def _receives(place: Place) -> dict[str, list[Receive]]:
    """Return the receives of each message in the order of time."""
    found = defaultdict(list)
    for number, replica in enumerate(place.replicas):
        stopping = False
        for line in replica.lines():
            stopping |= line["event"] == "service.stopping"
            if line["event"] == "message.disposition":
                given_back = stopping and line["disposition"] == "release"
                found[line["message_id"]].append(Receive(number, line["receive_count"], given_back))
    return found
