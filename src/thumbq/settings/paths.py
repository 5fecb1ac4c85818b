"""Settings that name a file or a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator


def _nameable(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("no name of a file has a NUL in it")
    return path


NamedPath = Annotated[Path, AfterValidator(_nameable)]
