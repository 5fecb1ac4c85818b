from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from thumbq.pool.memory import container_memory_bytes, memory_problem

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
OR_LESS = "or set THUMBQ_RENDER_MEMORY_BYTES"
OR_MORE = "or give the container 2348 MiB"
V1_NONE = "9223372036854771712"


def machine(root: Path, groups: str, **limits: str) -> Path:
    """Make a tree with /proc/self/cgroup and some limits; ``__`` in a name is a slash."""
    for name, text in {"proc__self__cgroup": groups, **limits}.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert container_memory_bytes(tmp_path) is None
    assert container_memory_bytes(machine(tmp_path, "0::/")) is None


@pytest.mark.parametrize(
    ("own", "above", "least"), [("100", "max", 100), ("max", "70", 70), ("100", "70", 70), ("max", "max", None)]
)
def test_the_least_limit_of_a_group_and_those_above_it_counts(
    tmp_path: Path, own: str, above: str, least: int | None
) -> None:
    root = machine(
        tmp_path,
        "0::/kubepods/pod1/c1",
        sys__fs__cgroup__kubepods__pod1__c1__memory_dot_max=own,
        sys__fs__cgroup__kubepods__pod1__memory_dot_max="max",
        sys__fs__cgroup__kubepods__memory_dot_max=above,
    )
    assert container_memory_bytes(root) == least


@pytest.mark.parametrize("path", ["/", "/docker/4f2a", "/../../docker/4f2a"])
def test_in_a_container_the_mount_is_our_own_group_whatever_the_path_says(tmp_path: Path, path: str) -> None:
    root = machine(tmp_path, f"0::{path}", sys__fs__cgroup__memory_dot_max="100")
    assert container_memory_bytes(root) == 100


@pytest.mark.parametrize(("limit", "found"), [("100", 100), (V1_NONE, None)])
def test_version_1_is_read_where_the_memory_controller_is_there(tmp_path: Path, limit: str, found: int | None) -> None:
    root = machine(
        tmp_path,
        "9:name=systemd:/\n4:hugetlb,memory:/docker/4f2a\n0::/",
        sys__fs__cgroup__memory__docker__4f2a__memory_dot_limit_in_bytes=limit,
        sys__fs__cgroup__memory__memory_dot_limit_in_bytes=V1_NONE,
        sys__fs__cgroup__unified__cgroup_dot_procs="1",
    )
    assert container_memory_bytes(root) == found


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_the_real_machine_can_be_asked() -> None:
    limit = container_memory_bytes()
    assert limit is None or limit > MIB


@pytest.mark.parametrize(
    ("limit_mib", "fix"),
    [
        (1024 + 300, None),
        (2 * 1024, f"set THUMBQ_PROCESSES to at most 3, {OR_LESS} to at most {437 * MIB}, {OR_MORE}"),
        (4 * 512 + 299, f"set THUMBQ_PROCESSES to at most 3, {OR_LESS} to at most {511 * MIB}, {OR_MORE}"),
        (300 + 512, f"set THUMBQ_PROCESSES to at most 1, {OR_LESS} to at most {128 * MIB}, {OR_MORE}"),
        (300 + 511, OR_MORE.removeprefix("or ")),
        (200, OR_MORE.removeprefix("or ")),
    ],
)
def test_more_processes_than_fit_are_a_problem_with_a_fix(tmp_path: Path, limit_mib: int, fix: str | None) -> None:
    root = machine(tmp_path, "0::/", sys__fs__cgroup__memory_dot_max=str(limit_mib * MIB))
    processes = 2 if fix is None else 4
    problem = memory_problem(processes, 512 * MIB, 300 * MIB, root=root)
    if fix is None:
        assert problem is None
    else:
        assert problem is not None
        assert problem.fix == fix
        assert f"up to 512 MiB and 300 MiB for everything else may take 2348 MiB; this container has {limit_mib}" in (
            problem.what
        )


def test_without_a_limit_any_number_of_processes_is_fine(tmp_path: Path) -> None:
    assert memory_problem(100, 1 << 40, 0, root=machine(tmp_path, "0::/")) is None
