"""A real HTTP server over a real local backend, and the ways in which a backend can fail."""

from __future__ import annotations

import functools
import json
import random
import re
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
import anyio
from aiohttp import web

from support.backends import open_local
from support.patience import within
from thumbq.core.catalog import Catalog, CatalogInForce
from thumbq.core.links import NO_BASE, Links
from thumbq.core.preset import BUILT_IN
from thumbq.deletion.deleting import JobDeleter
from thumbq.deletion.tombstones import Tombstones
from thumbq.intake.claims import Claims
from thumbq.intake.presigned import PresignedIntake
from thumbq.intake.uploads import UploadIntake
from thumbq.ports import Backend
from thumbq.settings import Settings
from thumbq.web.accessrules import OPEN, AccessRules
from thumbq.web.app import UploadLimits, WebServices, create_app
from thumbq.web.door import Door
from thumbq.web.jobstate import JobStates
from thumbq.web.making import make_desk
from thumbq.web.openapi import problem_codes
from thumbq.web.problems import PROBLEMS
from thumbq.web.route import route_of
from thumbq.web.server import HttpServer
from thumbq.web.waiting import Waiters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from thumbq.core.callbackrules import CallbackRules
    from thumbq.ports import JobQueue, ObjectStore
    from thumbq.ports.observing import Exposition
    from thumbq.web.queuedesk import QueueDesk
    from thumbq.webhooks.sender import CallbackSender

JPEG: Final = b"\xff\xd8\xff\xe0" + bytes(range(256))
PNG: Final = b"\x89PNG\r\n\x1a\n" + bytes(100)
FORM_BYTES: Final = 1 << 16
FORM_EXPIRY_S: Final = 900


class WallClock:
    ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time() + self.ahead_s


class Faults:
    """Stands before a store or a queue: counts calls, fails or holds the next ones on demand."""

    def __init__(self, inner: object) -> None:
        self._inner = inner
        self.calls: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.gates: dict[str, anyio.Event] = {}
        self.lost_answers: dict[str, Exception] = {}
        self._called: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)
        self._returned: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            self._called[name].set()
            if name in self.gates:
                await self.gates[name].wait()
            if name in self.errors:
                raise self.errors[name]
            result = await method(*args, **kwargs)
            self._returned[name].set()
            if name in self.lost_answers:
                raise self.lost_answers[name]
            return result

        return call

    async def until_called(self, name: str) -> None:
        with within(5):
            await self._called[name].wait()

    async def until_returned(self, name: str) -> None:
        with within(5):
            await self._returned[name].wait()


@dataclass
class Health:
    alive: str | None = None
    ready: str | None = None
    away: dict[str, float | None] = field(default_factory=dict)
    paused: dict[str, float | None] = field(default_factory=dict)

    def paused_since(self) -> dict[str, float | None]:
        return self.paused

    def away_since(self) -> dict[str, float | None]:
        return self.away

    def not_alive(self) -> str | None:
        return self.alive

    def not_ready(self) -> str | None:
        return self.ready

    def stopping(self) -> bool:
        return self.ready == "stopping"


@dataclass(frozen=True)
class FaultyBackend:
    real: Backend
    backend: Backend
    store: Faults
    queue: Faults
    intake: UploadIntake
    presigned: PresignedIntake
    clock: WallClock

    async def waiting(self) -> int:
        return (await self.real.queue.counts()).visible


@dataclass(frozen=True)
class Served:
    app: web.Application
    server: HttpServer
    behind: FaultyBackend
    health: Health
    http: aiohttp.ClientSession
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def connections(self) -> int:
        """How many connections the server has, with a client or with a task that has not ended."""
        server = self.server._runner.server
        return 0 if server is None else len(server.connections)

    def clients(self) -> set[Any]:
        """Return the addresses of the clients that are connected."""
        server = self.server._runner.server
        return set() if server is None else {each.peername for each in server.connections}

    async def post(self, *files: tuple[str, bytes], field: str = "file") -> tuple[int, dict[str, Any]]:
        """Upload files; return the status and the document."""
        async with self.http.post("/upload", data=form(*files, field=field)) as response:
            return response.status, await response.json(content_type=None)

    async def exchange(self, *pieces: bytes, close: bool = False, half_close: bool = False) -> bytes:
        """Send raw bytes, each piece after the server read the one before; return all that comes back until it closes.

        ``close`` leaves without waiting for an answer, ``half_close`` says that nothing more will be sent.
        """
        async with await anyio.connect_tcp(self.host, self.port) as stream:
            for piece in pieces:
                await stream.send(piece)
                for _ in range(5):  # turns of the one loop that both ends run on
                    await anyio.lowlevel.checkpoint()
            if close:
                return b""
            if half_close:
                await stream.send_eof()
            answer = b""
            with within(20):
                async for chunk in stream:
                    answer += chunk
            return answer


def form(*files: tuple[str, bytes], field: str = "file") -> aiohttp.FormData:
    data = aiohttp.FormData()
    for name, body in files:
        data.add_field(field, body, filename=name)
    return data


def multipart(*parts: tuple[str, bytes], boundary: str = "b0undary") -> bytes:
    """Return a form's bytes; each part is its Content-Disposition's parameters and its body."""
    mark = f"--{boundary}".encode()
    body = b"".join(
        mark + f"\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"
        for disposition, content in parts
    )
    return body + mark + b"--\r\n"


def head(length: int | None, *, boundary: str = "b0undary", extra: str = "") -> bytes:
    """Return the head of an upload request that closes the connection."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return (
        f"POST /upload HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{framing}\r\n{extra}"
        f"Content-Type: multipart/form-data; boundary={boundary}\r\n\r\n"
    ).encode()


def answers(received: bytes) -> list[int]:
    """Return the statuses of all answers that a connection got."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


def document(answer: bytes) -> dict[str, Any]:
    """Return the JSON body of a raw answer."""
    parsed: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return parsed


@asynccontextmanager
async def open_faulty(directory: Path, callbacks: CallbackRules | None = None) -> AsyncIterator[FaultyBackend]:
    clock = WallClock()
    async with open_local(directory, clock=clock) as real:
        store, queue = Faults(real.store), Faults(real.queue)
        backend = Backend(
            cast("ObjectStore", store),
            cast("JobQueue", queue),
            real.bucket,
            None,
            presigned_uploads=real.presigned_uploads,
            presigned_verifier=real.presigned_verifier,
            upkeep=real.upkeep,
        )
        intake = UploadIntake(backend=backend, clock=clock, random=random.Random(1), callbacks=callbacks)
        presigned = PresignedIntake(
            backend=backend,
            clock=clock,
            random=random.Random(2),
            max_bytes=FORM_BYTES,
            expiry_s=FORM_EXPIRY_S,
            callbacks=callbacks,
        )
        yield FaultyBackend(real, backend, store, queue, intake, presigned, clock)


@asynccontextmanager
async def serve(
    behind: FaultyBackend,
    limits: UploadLimits,
    *,
    backend_timeout_s: float = 20.0,
    shutdown_timeout_s: float = 1.0,
    max_connections: int = 1000,
    door: Door | None = None,
    access: AccessRules = OPEN,
    links: Links = NO_BASE,
    callbacks: CallbackSender | None = None,
    desk: QueueDesk | None = None,
    page: bool = True,
    exposition: Exposition | None = None,
) -> AsyncIterator[Served]:
    health = Health()
    catalogs = CatalogInForce(Catalog({preset.name: preset for preset in BUILT_IN}))
    tombstones = Tombstones(behind.backend.store, behind.backend.bucket, catalogs, behind.clock)
    states = JobStates(behind.backend, behind.presigned, tombstones)
    app = create_app(
        WebServices(
            backend=behind.backend,
            intake=behind.intake,
            health=health,
            limits=limits,
            catalogs=catalogs,
            backend_timeout_s=backend_timeout_s,
            presigned=behind.presigned,
            claims=Claims(behind.backend.store, behind.backend.bucket, behind.clock, random.SystemRandom()),
            links=links,
            states=states,
            deleter=JobDeleter(tombstones, [behind.backend]),
            waiters=Waiters(states.look_again, at_most=2, random=random.Random(3)),
            access=access,
            callbacks=callbacks,
            exposition=exposition,
        ),
        door or Door(listens_on="0.0.0.0"),
        desk or make_desk([(Settings().default_queue, behind.backend)], replica="one", clock=behind.clock),
        page=page,
    )
    undeclared: list[str] = []
    app.on_response_prepare.append(functools.partial(_note_undeclared, undeclared))
    server = HttpServer(app, shutdown_timeout_s=shutdown_timeout_s, max_connections=max_connections)
    try:
        await server.start("127.0.0.1", 0)
        host, port = server.address
        async with aiohttp.ClientSession(f"http://{host}:{port}") as http:
            yield Served(app, server, behind, health, http, host, port)
    finally:
        await server.close()
    assert not undeclared, "the table of routes lacks an answer or a problem"


async def _note_undeclared(undeclared: list[str], request: web.Request, response: web.StreamResponse) -> None:
    """Note every answer that the route does not have in the table, and so not in the OpenAPI document."""
    route = route_of(request)
    if route is None or request.method == "OPTIONS":  # an address or a method that there is not
        return
    codes = problem_codes(route)
    problems = response.get(PROBLEMS, ())
    undeclared += [
        f"{route.name}: {each.status} {each.code}" for each in problems if each.code not in codes[each.status]
    ]
    if not problems and response.status not in route.answers:
        undeclared.append(f"{route.name}: {response.status}")
