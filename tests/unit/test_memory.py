from __future__ import annotations

import platform
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from thumbq import docs
from thumbq.core import malloc
from thumbq.memory import (
    as_variables,
    container_memory_bytes,
    derived,
    fitting,
    memory_problem,
    needed_bytes,
    return_uploads,
)
from thumbq.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30
V1_NONE = "9223372036854771712"

PIECE_PAGES = 64
_PIECES = """
import resource
from thumbq.core import malloc
malloc.map_blocks_from(1 << 20)
malloc.keep_free(2 << 20)
def page_faults():
    for _ in range(20):
        pieces = [bytes(1 << 18) for _ in range(3)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
page_faults()
before = page_faults()
print(page_faults() - before)
"""


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


def limited(root: Path, limit: int) -> Path:
    return machine(root, "0::/", sys__fs__cgroup__memory_dot_max=str(limit))


def lowered(settings: Settings, values: dict[str, int]) -> Settings:
    """Return the settings of someone who has copied these; their checks are made anew."""
    return Settings.model_validate(settings.model_dump(exclude_unset=True) | values)


@pytest.mark.parametrize("limit", [512 * MIB, GIB, 2 * GIB])
def test_the_warning_has_settings_that_fit_the_container_and_end_it(tmp_path: Path, limit: int) -> None:
    settings = Settings(processes=2)
    root = limited(tmp_path, limit)
    problem = memory_problem(settings, root=root)
    assert problem is not None
    assert f"this container has {limit // MIB} MiB" in problem.what
    values, _, more = problem.fix.removeprefix("set ").partition(", or ")
    assert more == "give the container 2872 MiB"
    copied = {
        name.removeprefix("THUMBQ_").lower(): int(value)
        for name, _, value in (pair.partition("=") for pair in values.split())
    }
    assert memory_problem(lowered(settings, copied), root=root) is None


@pytest.mark.parametrize("uploads", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        Settings(processes=1),
        Settings(processes=8),
        Settings(processes=3, render_memory_bytes=256 * MIB),
        Settings(processes=2, max_decode_bytes=700 * MIB),
        Settings(processes=2, max_upload_bytes=90 * MIB + 1, max_uploads=3),
    ],
)
def test_what_is_said_to_fit_fits_and_leaves_no_process_out_for_nothing(settings: Settings, *, uploads: bool) -> None:
    for limit in range(200 * MIB, 12 * GIB, 61 * MIB + 7):
        values = fitting(settings, limit, uploads=uploads)
        if values is None:
            assert limit < 640 * MIB
            continue
        fits = lowered(settings, values)
        assert needed_bytes(fits, uploads=uploads) <= limit
        assert all(value < (getattr(settings, name) or value) for name, value in values.items())
        assert fits.processes == settings.processes or fits.processes * 512 * MIB > limit // 2 - 640 * MIB


def test_too_small_a_container_can_only_become_larger(tmp_path: Path) -> None:
    problem = memory_problem(Settings(processes=1), root=limited(tmp_path, 256 * MIB))
    assert problem is not None
    assert problem.fix == "give the container 1848 MiB"


def test_without_a_limit_any_number_of_processes_is_fine(tmp_path: Path) -> None:
    assert memory_problem(Settings(processes=100), root=machine(tmp_path, "0::/")) is None


# Of a replica with two CPUs: render processes, MiB of one, MiB of originals in flight, MiB of one original, uploads.
DEFAULTS = (2, 1024, 512, 200, 8)


@pytest.mark.parametrize(
    ("limit", "values"),
    [
        (256 * MIB, DEFAULTS),
        (512 * MIB, (1, 286, 64, 64, 2)),
        (GIB, (1, 659, 128, 128, 5)),
        (2 * GIB, (2, 740, 256, 200, 8)),
        (3 * GIB, DEFAULTS),
        (4 * GIB, DEFAULTS),
        (8 * GIB, DEFAULTS),
        (None, DEFAULTS),
    ],
)
def test_what_nobody_set_fits_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None, values: tuple[int, ...]
) -> None:
    monkeypatch.setattr(Settings.model_fields["processes"], "default_factory", lambda: 2)
    root = machine(tmp_path, "0::/") if limit is None else limited(tmp_path, limit)
    settings = derived(Settings(), root=root)
    assert (
        settings.processes,
        settings.render_memory_bytes // MIB,
        settings.max_in_flight_bytes // MIB,
        settings.max_source_bytes // MIB,
        settings.max_uploads,
    ) == values
    too_little = limit is not None and limit < 512 * MIB
    assert (memory_problem(settings, root=root) is not None) == too_little


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({"processes": 1}, True),
        ({"processes": 2}, True),
        ({"processes": 3, "max_uploads": 20}, False),
        ({"processes": 2, "max_uploads": 12}, True),
        ({"render_memory_bytes": 400 * MIB}, True),
        ({"render_memory_bytes": GIB}, False),
        ({"max_in_flight_bytes": 300 * MIB}, True),
        ({"max_in_flight_bytes": 2 * GIB}, False),
        ({"max_source_bytes": 250 * MIB + 1}, True),
        ({"max_source_bytes": 200 * MIB}, True),
        ({"max_uploads": 20}, True),
        ({"max_uploads": 100}, False),
        ({"max_decode_bytes": 450 * MIB}, True),
        ({"max_decode_bytes": 512 * MIB}, False),
        ({"max_upload_bytes": 300 * MIB}, True),
        ({"max_upload_bytes": 500 * MIB}, False),
    ],
)
def test_what_is_set_stays_and_the_rest_gives_way(tmp_path: Path, given: dict[str, int], *, fits: bool) -> None:
    root = limited(tmp_path, GIB)
    settings = Settings.model_validate(given)
    now = derived(settings, root=root)
    assert {name: getattr(now, name) for name in given} == given
    assert (now != settings) == fits
    assert (memory_problem(now, root=root) is None) == fits
    Settings.model_validate(now.model_dump(exclude_unset=True))


def test_the_start_says_what_it_derived_and_from_what(tmp_path: Path) -> None:
    with capture_logs() as lines:
        derived(Settings(processes=1), root=limited(tmp_path, 2 * GIB), uploads=False)
        derived(Settings(processes=2), root=limited(tmp_path, 2 * GIB), uploads=False)
        derived(Settings(processes=2, render_memory_bytes=GIB), root=limited(tmp_path, 512 * MIB))
    assert lines == [
        {
            "event": "settings.derived",
            "log_level": "info",
            "container_bytes": 2 * GIB,
            "render_memory_bytes": 840 * MIB,
            "max_in_flight_bytes": 256 * MIB,
        }
    ]


@pytest.mark.parametrize(("limit", "name"), [(512 * MIB, "512 MiB"), (GIB, "1 GiB"), (2 * GIB, "2 GiB")])
def test_the_document_has_the_settings_of_small_containers(limit: int, name: str) -> None:
    values = fitting(Settings(processes=2), limit)
    assert values is not None
    row = f"| {name} | `{as_variables(values)}` |"
    assert row in docs.read("settings"), row


def test_the_memory_of_large_uploads_goes_back_with_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, int]] = []
    monkeypatch.setattr(malloc, "_mallopt", lambda *args: said.append(args))
    return_uploads()
    assert said == [(-3, MIB), (-1, 2 * MIB)]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_pieces_of_an_original_lie_on_pages_that_the_process_has() -> None:
    run = subprocess.run([sys.executable, "-c", _PIECES], check=True, capture_output=True, text=True)
    assert int(run.stdout) < PIECE_PAGES
