"""A fleet of replicas under attack: whatever ends is started again at once, as an orchestrator does it."""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio

from support.patience import until
from support.replicas.replica import kill

if TYPE_CHECKING:
    from random import Random

    from support.replicas.place import Place
    from support.replicas.replica import Replica
    from support.servers.fault_proxy import FaultProxy


class Fleet:
    """Replicas behind a proxy. Each keeps its name, and so its endpoint, over all its lives."""

    def __init__(self, place: Place, proxy: FaultProxy, random: Random, **settings: Any) -> None:
        self._place = place
        self._proxy = proxy
        self._random = random
        self._settings = settings
        self._names: set[str] = set()
        self._doomed: set[int] = set()
        self.up: dict[str, Replica] = {}
        self.replicas_killed = 0
        self.children_killed = 0
        self.failed_starts: list[str] = []

    async def keep(self, name: str) -> None:
        """Run one replica after another under this name, until cancelled; one that ends by itself is an error."""
        self._names.add(name)
        while True:
            try:
                replica = await self._place.replica(endpoint=await self._proxy.endpoint(name), **self._settings)
            except AssertionError as error:
                # The queue cannot be reached at the start: ending is right, and so is the next start.
                self.failed_starts.append(str(error))
                continue
            self.up[name] = replica
            while replica.process.poll() is None:  # noqa: ASYNC110 - another process's end is no event
                await anyio.sleep(0.02)
            del self.up[name]
            assert replica.process.pid in self._doomed, f"{name} ended by itself\n{replica.stderr()}"

    async def all_up(self) -> None:
        """Wait until all that are kept are up."""
        await until(
            lambda: self.up.keys() == self._names, within_s=30, what=lambda: f"{self._names} up, not only {[*self.up]}"
        )

    async def kill_replicas(self, *, every_s: float, at_most: float = math.inf) -> None:
        """Kill one of the replicas that are up, again and again, until cancelled."""
        while self.replicas_killed < at_most:
            await anyio.sleep(every_s)
            await until(lambda: self.up, within_s=30, what="a replica to kill")
            replica = self._random.choice(list(self.up.values()))
            self._doomed.add(replica.process.pid)
            replica.signal(signal.SIGKILL)
            self.replicas_killed += 1

    async def kill_children(self, *, every_s: float) -> None:
        """Kill a single render process, again and again, until cancelled."""
        while True:
            await anyio.sleep(every_s)
            children = [pid for replica in self.up.values() for pid in replica.render_children()]
            if children:
                kill(self._random.choice(children))
                self.children_killed += 1

    async def upload(self, body: bytes, name: str) -> str:
        """Upload a file as a client does that wants it done: on a 503 or a lost connection to another replica."""
        while True:
            if not self.up:
                await anyio.sleep(0.1)
                continue
            replica = self._random.choice(list(self.up.values()))
            form = aiohttp.FormData()
            form.add_field("file", body, filename=name)
            try:
                async with self._place.session.post(f"{replica.url}/upload", data=form) as answer:
                    document = await answer.json()
            except (aiohttp.ClientError, TimeoutError):
                continue
            if answer.status == 201:
                job_id: str = document["data"]["jobs"][0]["id"]
                return job_id
            assert answer.status == 503, document
            await anyio.sleep(0.1 + 0.4 * self._random.random())


def logged(place: Place, event: str) -> list[dict[str, Any]]:
    """Return the log lines of one event of all replicas of a place."""
    return [line for replica in place.replicas for line in replica.events(event)]


def story(place: Place, job_id: str) -> str:
    """Return what all replicas logged of a job and its message, in the order of time."""
    lines = [
        (line["timestamp"], number, line)
        for number, replica in enumerate(place.replicas, start=1)
        for line in replica.lines()
    ]
    messages = {line.get("message_id") for _, _, line in lines if line.get("job_id") == job_id} - {None}
    about = [entry for entry in lines if entry[2].get("job_id") == job_id or entry[2].get("message_id") in messages]
    return "\n".join(f"{at} replica-{number} {line}" for at, number, line in sorted(about, key=lambda entry: entry[0]))
