"""Programs of others that some tests need: without one they are skipped and say why, but in .ci/run they fail."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from support.patience import patience

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRED: Final = "REQUIRE_CLIENTS"
"""The variable with which .ci/run says that none may be missing."""

_GROUP: Final = "`uv sync --group clients` installs it"


def missing(what: str) -> None:
    """Skip the test for want of a program, or fail it."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(what)
    pytest.skip(what)


def program(*names: str) -> str:
    """Return the path of a program that goes by one of these names."""
    for name in names:
        if (found := shutil.which(name)) is not None:
            return found
    missing(f"there is no {names[0]} here")
    raise AssertionError


def script(name: str) -> str:
    """Return the path of a command of the dependency group ``clients``."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        missing(f"there is no {name}: {_GROUP}")
    return str(path)


def module(name: str) -> Any:
    """Return a module of the dependency group ``clients``."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        missing(f"there is no {name}: {_GROUP}")


def run(
    command: list[str], *, cwd: Path, seconds: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output is text."""
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=patience(seconds),
    )
