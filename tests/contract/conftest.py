"""The three backends that one contract is held against, each test on a fresh one."""

from __future__ import annotations

import json
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from support.backends import open_local
from support.doubles.clocks import SystemClock
from support.servers.emulators import aws_env
from thumbq.aws import assembled
from thumbq.aws.check import checked
from thumbq.aws.session import Clients, open_clients
from thumbq.local import open_local_queues

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from thumbq.ports import Backend

FAST = "-fast"
"""The ending of the kinds whose requests about objects go the fast path; those of the others are aiobotocore's."""

MAX_RECEIVE_COUNT = 3


class NoFastPath:
    """Leaves every request to aiobotocore."""

    async def put(self, *_: object) -> None:
        return None

    get = head = delete = put


DEAD_LETTER_RETENTION_S = 14 * 86_400


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def moto_clients(moto_url: str) -> AsyncIterator[Clients]:
    async with _clients(moto_url) as clients:
        yield clients


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ministack_clients(ministack_url: str) -> AsyncIterator[Clients]:
    async with _clients(ministack_url) as clients:
        yield clients


@pytest.fixture(params=["local", "aws-moto", "aws-ministack"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def clients(kind: str, request: pytest.FixtureRequest) -> Clients | None:
    """Return the clients of the emulator; making them reads botocore's models, so all tests share them."""
    if kind == "local":
        return None
    emulator = kind.removeprefix("aws-").removesuffix(FAST)
    found: Clients = request.getfixturevalue(f"{emulator}_clients")
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def backend(kind: str, clients: Clients | None, tmp_path: Path) -> AsyncIterator[Backend]:
    if clients is None:
        async with open_local(tmp_path / "data", clock=SystemClock(), max_receive_count=MAX_RECEIVE_COUNT) as opened:
            yield opened
    else:
        name = f"contract-{uuid.uuid4().hex[:12]}"
        await _provision(clients, name)
        (address,) = await checked(clients, bucket=name, queues=[name])
        if kind.endswith(FAST):
            await _show_ways(clients, name)
        else:
            clients = replace(clients, fast_path=NoFastPath())  # type: ignore[arg-type]
        yield assembled(clients, address, name)


async def _show_ways(clients: Clients, bucket: str) -> None:
    """Make the first request of each kind by aiobotocore, from which the fast path makes the next ones."""
    where: Any = {"Bucket": bucket, "Key": "first"}
    await clients.s3.put_object(**where, Body=b"a", ContentType="text/plain")
    await clients.s3.head_object(**where)
    async with (await clients.s3.get_object(**where))["Body"] as body:
        await body.read()
    await clients.s3.delete_object(**where)


@pytest.fixture(params=["local", "aws-ministack"])
def fifo_clients(request: pytest.FixtureRequest) -> Clients | None:
    """Return the clients for a FIFO queue; moto breaks their order, their locks and their deduplication."""
    found: Clients | None = None if request.param == "local" else request.getfixturevalue("ministack_clients")
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def fifo(fifo_clients: Clients | None, tmp_path: Path) -> AsyncIterator[Backend]:
    """Yield a backend with a FIFO queue."""
    name = f"contract-{uuid.uuid4().hex[:12]}"
    queue = f"{name}.fifo"
    if fifo_clients is None:
        async with open_local_queues(
            tmp_path / "data", clock=SystemClock(), queues=(queue,), max_receive_count=MAX_RECEIVE_COUNT
        ) as [opened]:
            yield opened
    else:
        await _provision(fifo_clients, name, ".fifo", {"FifoQueue": "true"})
        (address,) = await checked(fifo_clients, bucket=name, queues=[queue])
        yield assembled(fifo_clients, address, name)


@pytest.fixture
def not_on(kind: str) -> Callable[[str, str], None]:
    """Skip a claim that an emulator is known to break, with the reason; AWS itself keeps it."""

    def skip(broken_kind: str, reason: str) -> None:
        if kind == broken_kind:
            pytest.skip(f"{kind}: {reason}")

    return skip


async def _provision(clients: Clients, name: str, ending: str = "", kind: Mapping[Any, str] | None = None) -> None:
    """Make what `thumbq setup` makes, with the clients that are there already; FIFO queues have an ending."""
    await clients.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
    dead = await clients.control.create_queue(
        QueueName=f"{name}-dlq{ending}",
        Attributes={"MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_S), **(kind or {})},
    )
    described = await clients.control.get_queue_attributes(QueueUrl=dead["QueueUrl"], AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": described["Attributes"]["QueueArn"], "maxReceiveCount": MAX_RECEIVE_COUNT}
    await clients.control.create_queue(
        QueueName=name + ending, Attributes={"RedrivePolicy": json.dumps(policy), **(kind or {})}
    )


@asynccontextmanager
async def _clients(url: str) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        with aws_env(url):
            clients = await stack.enter_async_context(open_clients(connections=30, wait_time_s=20))
        yield clients
