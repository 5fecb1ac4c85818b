"""moto as a whole, and clients of a server that answers what a test tells it to."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from support.servers.emulators import aws_env
from support.servers.scripted import Script, serving
from thumbq.aws.addresses import DeadLetterAddress, QueueAddress
from thumbq.aws.deadletters import SqsDeadLetters
from thumbq.aws.jobqueue import SqsQueue
from thumbq.aws.session import Clients, open_clients
from thumbq.aws.store import S3Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="session", autouse=True)
def models(models_read_once: None) -> None:
    """Each test has a session of its own; reading the models for each would take a third of this suite's time."""
    del models_read_once


@pytest.fixture
def moto(moto_url: str) -> Iterator[str]:
    with aws_env(moto_url):
        yield moto_url


@pytest.fixture
def name() -> str:
    return f"thumbq-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    """Point this test's clients at a Script."""
    script = Script()
    async with serving(script) as url:
        with aws_env(url):
            yield script


@pytest.fixture
async def clients(script: Script) -> AsyncIterator[Clients]:
    assert not script.requests
    async with open_clients(connections=4, wait_time_s=1) as opened:
        yield opened


@pytest.fixture
def store(clients: Clients) -> S3Store:
    return S3Store(clients.s3, clients.fast_path)


@pytest.fixture
def address() -> QueueAddress:
    dead = DeadLetterAddress("https://sqs.example/1/q-dlq", "arn:aws:sqs:x:1:q-dlq", 1 << 20, 1_209_600)
    return QueueAddress("https://sqs.example/1/q", "arn:aws:sqs:x:1:q", dead)


@pytest.fixture
def queue(clients: Clients, address: QueueAddress) -> SqsQueue:
    return SqsQueue(clients.control, clients.polling, address)


@pytest.fixture
def fifo_queue(clients: Clients) -> SqsQueue:
    return SqsQueue(
        clients.control, clients.polling, QueueAddress("https://sqs.example/1/q.fifo", "arn:aws:sqs:x:1:q.fifo", None)
    )


@pytest.fixture
def dead_letters(clients: Clients, address: QueueAddress) -> SqsDeadLetters:
    return SqsDeadLetters(clients.control, clients.polling, address)
