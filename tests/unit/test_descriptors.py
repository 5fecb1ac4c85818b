"""What a limit of open files leaves for connections."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thumbq import descriptors
from thumbq.errors import SetupError
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL = Settings(local=Path("data"), processes=2)
AWS = Settings(bucket="photos", queue="jobs", processes=2)


@pytest.fixture
def limits_as_before() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_is_raised_to_the_hard_one(limits_as_before: tuple[int, int]) -> None:
    hard = limits_as_before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    raised = descriptors.raise_limit()
    assert 200 < raised == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert descriptors.raise_limit() == raised


@pytest.mark.parametrize("settings", [LOCAL, AWS], ids=["local", "aws"])
def test_connections_get_what_the_work_leaves(settings: Settings) -> None:
    needed = descriptors.needed(settings)
    assert descriptors.share(needed + 500, settings) == descriptors.Descriptors(500, None)
    assert descriptors.share(1 << 20, settings).connections == descriptors.MAX_CONNECTIONS


def test_whatever_takes_descriptors_leaves_fewer() -> None:
    def needed(**more: object) -> int:
        return descriptors.needed(Settings.model_validate(AWS.model_dump(exclude_unset=True) | more))

    assert needed(processes=3) > needed()
    assert needed(concurrency=100) > needed()
    assert needed(max_uploads=100) > needed()
    assert descriptors.needed(LOCAL) < needed()


def test_under_a_low_limit_there_are_few_and_it_is_said() -> None:
    few = descriptors.share(150, LOCAL)
    assert 0 < few.connections < 64
    assert few.warning is not None
    assert "ulimit -n" in few.warning.what
    assert "LimitNOFILE" in few.warning.fix


def test_a_limit_that_is_too_low_for_the_render_processes_is_refused() -> None:
    with pytest.raises(SetupError) as refused:
        descriptors.share(64, LOCAL)
    [problem] = refused.value.problems
    assert "may open 64 files (ulimit -n), and 2 render processes take" in problem.what
    assert "THUMBQ_PROCESSES" in problem.fix
