"""What a start loads: each module that is never used is time and memory that every replica and render process takes."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

import pytest

pytestmark = pytest.mark.long

# What libraries take where it happens to be installed, for what thumbq does not use: structlog rich and greenlet,
# botocore certifi, aiobotocore httpx.
LOADED = """
import sys
sys.modules |= dict.fromkeys(("rich", "certifi", "greenlet", "httpx"))
import {}
print(*(name for name, module in sys.modules.items() if module is not None))
"""
RENDER_PROCESS = "thumbq.pool.entrypoint, thumbq.pool.preload"


def loaded(modules: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", LOADED.format(modules)], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def needed(distribution: str, known: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the distributions that one needs when it is installed without extras, and itself."""
    known |= {distribution}
    for requirement in metadata.requires(distribution) or ():
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")
        if "extra ==" not in requirement and name not in known and is_installed(name):
            known |= needed(name, known)
    return known


def is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.parametrize("modules", ["thumbq.cli, thumbq.service, thumbq.local, thumbq.aws", RENDER_PROCESS])
def test_nothing_is_loaded_that_is_there_for_development_only(modules: str) -> None:
    owners = metadata.packages_distributions()
    packages = {name.partition(".")[0] for name in loaded(modules)} & owners.keys()
    ours = needed("thumbq")
    foreign = {name for name in packages if not any(owner.lower().replace("_", "-") in ours for owner in owners[name])}
    assert "pydantic" in packages
    assert not foreign


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        ("thumbq.cli, thumbq.service, thumbq.local", ("botocore", "aiobotocore", "thumbq.aws", "PIL", "pi_heif")),
        ("thumbq.cli, thumbq.service, thumbq.aws", ("sqlite3", "thumbq.local", "PIL", "pi_heif")),
        (
            "thumbq.service, thumbq.web.making",
            ("thumbq.webhooks.caller", "thumbq.webhooks.addresses", "standardwebhooks"),
        ),
        (RENDER_PROCESS, ("asyncio", "anyio", "structlog", "aiohttp", "botocore", "ssl", "thumbq.pool.renderpool")),
    ],
)
def test_a_process_loads_its_own_part_only(modules: str, without: tuple[str, ...]) -> None:
    names = loaded(modules)
    assert set(modules.split(", ")) <= names
    assert not names & set(without)


def test_render_processes_share_what_is_loaded_for_them() -> None:
    """A collection of garbage would write to each object, and each page of them would become a process's own."""
    script = f"""if True:
        import gc
        import {RENDER_PROCESS}
        print(gc.isenabled(), gc.get_stats()[2]["collections"], gc.get_freeze_count() > len(gc.get_objects()))
        """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "True 0 True\n"
