"""Where the replicas of a test keep things: on one local directory, or on S3 and SQS of an emulator."""

from __future__ import annotations

import io
import os
import secrets
import time
import uuid
from contextlib import ExitStack, asynccontextmanager
from subprocess import DEVNULL, PIPE, CompletedProcess
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import anyio
import pytest
from anyio import to_thread

from support.patience import until
from support.replicas.replica import THUMBQ, Replica, running
from support.servers.emulators import aws_env, aws_environment, without_aws
from thumbq.aws.provision import provision
from thumbq.backends import open_backend
from thumbq.core import keys, message
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.ports import QueueCounts
from thumbq.settings import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from support.replicas.forker import Forker
    from thumbq.ports import Backend

AWS_IS_LONG: Final = pytest.mark.parametrize(
    "place", ["local", pytest.param("aws", marks=pytest.mark.long)], indirect=True
)
"""For a test on both backends whose dearer form is left to the step of what takes long.

In README's command real replicas meet S3 and SQS in ``tests/chaos``, in the articles and on the stack.
"""


class Place:
    """A bucket and a queue, and the replicas on them."""

    def __init__(self, directory: Path, environment: dict[str, str], forker: Forker | None = None) -> None:
        self._directory = directory
        self._forker = forker
        self._replicas = ExitStack()
        self.environment = environment
        self.replicas: list[Replica] = []
        """All that were started, dead ones too."""
        self.session: aiohttp.ClientSession

    async def replica(
        self,
        *,
        wait_for: str = "try: curl",
        endpoint: str | None = None,
        open_files: int | None = None,
        program: Sequence[str] = (THUMBQ,),
        **settings: object,
    ) -> Replica:
        """Start a replica with further settings (``wait_time_s=1``) and wait until it is ready.

        ``endpoint`` is where it finds S3 and SQS instead of where the place does: a proxy. ``open_files`` is how many
        files it may open. ``program`` takes the place of ``thumbq``.
        """
        extra = {f"THUMBQ_{name.upper()}": str(value) for name, value in settings.items()}
        if endpoint is not None:
            extra["AWS_ENDPOINT_URL"] = endpoint
        directory = self._directory / f"replica-{len(self.replicas) + 1}"
        replica = self._replicas.enter_context(
            running(directory, self.environment | extra, open_files=open_files, program=program, forker=self._forker)
        )
        self.replicas.append(replica)
        await replica.ready(wait_for)
        return replica

    async def command(
        self,
        *arguments: str,
        stdin: int | None = None,
        stdout: int | None = None,
        cwd: Path | None = None,
        **variables: str,
    ) -> CompletedProcess[bytes]:
        """Run a command of ``thumbq`` on this place, with further variables, and return how it ended.

        What it prints goes to ``stdout`` or into the result. Without ``stdin`` there is nothing to read.
        """
        argv = [THUMBQ, *arguments]
        env = without_aws(os.environ) | self.environment | variables
        if self._forker is None:
            return await anyio.run_process(
                argv,
                env=env,
                cwd=cwd,
                check=False,
                stdin=DEVNULL if stdin is None else stdin,
                stdout=PIPE if stdout is None else stdout,
            )
        with TemporaryFile() as empty, TemporaryFile() as printed, TemporaryFile() as errors:
            streams = (
                empty.fileno() if stdin is None else stdin,
                printed.fileno() if stdout is None else stdout,
                errors.fileno(),
            )
            process = self._forker.start(argv, env=env, cwd=cwd, streams=streams)
            try:
                code = await to_thread.run_sync(process.wait, abandon_on_cancel=True)
            finally:
                process.kill()
            said = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0) for file in (printed, errors)]
            return CompletedProcess(argv, code, *said)

    @asynccontextmanager
    async def backend(self) -> AsyncIterator[Backend]:
        """Open the store and the queue from this process."""
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(without_aws(before) | self.environment)
        try:
            async with open_backend(load()) as backend:
                yield backend
        finally:
            os.environ.clear()
            os.environ.update(before)

    async def counts(self) -> QueueCounts:
        async with self.backend() as backend:
            return await backend.queue.counts()

    async def queue_empty(self, *, within_s: float = 10) -> None:
        """Wait until no message is left, neither waiting nor in flight nor dead."""
        async with self.backend() as backend:

            async def empty() -> bool:
                return await backend.queue.counts() == QueueCounts(visible=0, in_flight=0, delayed=0, dead=0)

            await until(empty, within_s=within_s, what="an empty queue")

    async def in_flight(self, expected: int) -> None:
        """Wait until so many messages are in flight."""
        async with self.backend() as backend:

            async def reached() -> object:
                return (await backend.queue.counts()).in_flight == expected

            await until(reached, within_s=10, what=f"{expected} messages in flight")

    async def upload(self, replica: Replica, body: bytes, name: str = "photo.jpg") -> str:
        """Upload one file and return the job's id."""
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(body), filename=name)
        async with self.session.post(f"{replica.url}/upload", data=form) as answer:
            document = await answer.json()
            assert answer.status == 201, document
            job_id: str = document["data"]["jobs"][0]["id"]
            assert answer.headers["Location"] == f"/jobs/{job_id}"
            return job_id

    async def job(self, replica: Replica, job_id: str) -> dict[str, Any]:
        """Return the job as the HTTP side tells it."""
        async with self.session.get(f"{replica.url}/jobs/{job_id}") as answer:
            document: dict[str, Any] = await answer.json()
            assert answer.status == 200, document
            data: dict[str, Any] = document["data"]
            return data

    async def finished(self, replica: Replica, job_id: str, *, within_s: float) -> dict[str, Any]:
        """Wait until a job is done or failed, and return it."""

        async def ended() -> dict[str, Any] | None:
            job = await self.job(replica, job_id)
            return job if job["status"] != "queued" else None

        job: dict[str, Any] = await until(
            ended, within_s=within_s, what=lambda: f"the end of {job_id}\n{replica.stderr()}"
        )
        return job

    def close(self) -> None:
        self._replicas.close()


@asynccontextmanager
async def opened(directory: Path, environment: dict[str, str], forker: Forker | None = None) -> AsyncIterator[Place]:
    """Open a place whose processes the ``forker`` starts, if there is one; leaving ends its replicas."""
    place = Place(directory, environment, forker)
    async with aiohttp.ClientSession() as place.session:
        try:
            yield place
        finally:
            place.close()


async def set_up(endpoint: str, *, suffix: str = "") -> dict[str, str]:
    """Make a bucket and queues at an emulator, as `thumbq setup` does, and return the variables that name them.

    The queue's name is the bucket's with ``suffix``: ``.fifo`` for a FIFO queue.
    """
    name = f"t-{uuid.uuid4().hex}"
    queue = f"{name}{suffix}"
    with aws_env(endpoint):
        await provision(bucket=name, queues=[queue])
    return aws_environment(endpoint) | {"THUMBQ_BUCKET": name, "THUMBQ_QUEUE": queue}


async def put_unsigned(place: Place, objects: Iterable[tuple[str, bytes]], *, content_type: str) -> None:
    """Put objects without a client of S3's, whose signatures and checksums would cost more than all the rest."""
    bucket, waiting = f"{place.environment['AWS_ENDPOINT_URL']}/{place.environment['THUMBQ_BUCKET']}", iter(objects)

    async def put() -> None:
        for key, body in waiting:
            async with session.put(f"{bucket}/{key}", data=body, headers={"Content-Type": content_type}) as answer:
                assert answer.status == 200

    async with aiohttp.ClientSession() as session, anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(put)


async def queued(backend: Backend, bodies: Sequence[bytes]) -> list[str]:
    """Store originals and queue a message for each, without a replica's help, and return the jobs' ids."""
    ids = [keys.new_id(int(time.time() * 1000), secrets.randbits(80)) for _ in bodies]
    waiting = list(zip(ids, bodies, strict=True))

    async def send() -> None:
        while waiting:
            job_id, body = waiting.pop()
            source = ObjectRef(backend.bucket, keys.upload_key(job_id))
            await backend.store.put(source, body, content_type="image/jpeg")
            await backend.queue.send(message.encode(JobRequest(source)))

    async with anyio.create_task_group() as senders:
        for _ in range(16):
            senders.start_soon(send)
    return ids
