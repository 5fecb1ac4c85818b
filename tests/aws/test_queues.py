"""Several queues of SQS, opened at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thumbq.aws import open_aws_queues
from thumbq.aws.provision import provision
from thumbq.backends import open_backend, open_backends
from thumbq.errors import SetupError
from thumbq.settings import QueueTable, Settings, only_queue

if TYPE_CHECKING:
    from thumbq.errors import Problem


async def problems(bucket: str, *queues: str) -> tuple[Problem, ...]:
    with pytest.raises(SetupError) as caught:
        async with open_aws_queues(bucket=bucket, queues=queues):
            pass
    return caught.value.problems


async def test_queues_open_in_the_order_in_which_they_are_named_over_one_bucket(moto: str, name: str) -> None:
    await provision(bucket=name, queues=[f"{name}-low", f"{name}-high"])
    queues = [f"{name}-high", f"{moto}/123456789012/{name}-low"]
    async with open_aws_queues(bucket=name, queues=queues) as (high, low):
        await low.queue.send("uploads/a")
        assert [(await backend.queue.attributes()).name for backend in (high, low)] == [f"{name}-high", f"{name}-low"]
        assert [(await backend.queue.counts()).visible for backend in (high, low)] == [0, 1]
        assert (high.bucket, low.bucket) == (name, name)


async def test_all_problems_of_all_queues_are_reported_at_once(moto: str, name: str) -> None:
    await provision(bucket=name, queues=[f"{name}-there"])
    there = [f"{name}-there", f"{moto}/123456789012/{name}-there"]
    bucket, one, other, same = [
        problem.what for problem in await problems("no-such-bucket", *there, f"{name}-one", f"{name}-other")
    ]
    assert bucket == "there is no bucket no-such-bucket"
    assert one.startswith(f"there is no queue {name}-one")
    assert other.startswith(f"there is no queue {name}-other")
    assert same == f"{there[0]} and {there[1]} are one and the same queue"


@pytest.mark.usefixtures("moto")
async def test_settings_with_several_queues_open_each_of_them_and_a_command_the_default_one(name: str) -> None:
    await provision(bucket=name, queues=[f"{name}-low", f"{name}-high"])
    tables = (
        QueueTable(name="high", queue=f"{name}-high"),
        QueueTable(name="low", queue=f"{name}-low", default=True),
    )
    settings = Settings(bucket=name, queues=tables)
    async with open_backends(settings) as backends:
        assert [(await one.queue.attributes()).name for one in backends] == [f"{name}-high", f"{name}-low"]
    for only, opened in ((None, "low"), ("high", "high")):
        async with open_backend(only_queue(settings, only)) as backend:
            assert (await backend.queue.attributes()).name == f"{name}-{opened}"


async def test_a_queue_that_holds_the_dead_letters_of_another_one_is_none_to_work_on(moto: str, name: str) -> None:
    assert moto
    await provision(bucket=name, queues=[name])
    [problem] = await problems(name, name, f"{name}-dlq")
    assert problem.what == f"{name}-dlq holds the dead letters of {name}: worked on as a queue, they would be lost"
