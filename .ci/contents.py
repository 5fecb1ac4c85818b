"""Check what sdist and wheel hold: what git has of the package, what describes it, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

SDIST = frozenset({".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"})
LICENSE_OF_PROFILES = "thumbq/imaging/profiles/LICENSE"
WHEEL = frozenset(
    {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        f"licenses/src/{LICENSE_OF_PROFILES}",
    }
)
"""Of its directory ``.dist-info``."""


def faults(sdist: Path, wheel: Path, sources: set[str]) -> list[str]:
    """Return a line for each file that is missing or too many; ``sources`` are paths below ``src/``."""
    with tarfile.open(sdist) as opened:
        in_sdist = {name.partition("/")[2] for name in opened.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    described = "-".join(wheel.name.split("-")[:2]) + ".dist-info/"
    return [
        *_differences(sdist.name, in_sdist, {f"src/{name}" for name in sources} | SDIST),
        *_differences(wheel.name, in_wheel, sources - {LICENSE_OF_PROFILES} | {described + name for name in WHEEL}),
    ]


def _differences(what: str, found: set[str], expected: set[str]) -> list[str]:
    missing = [f"{what} lacks {name}" for name in sorted(expected - found)]
    return missing + [f"{what} has {name}" for name in sorted(found - expected)]


def main() -> None:
    """Check the one sdist and the one wheel of a directory; exit code 1 with the differences."""
    [directory] = map(Path, sys.argv[1:])
    [sdist], [wheel] = directory.glob("*.tar.gz"), directory.glob("*.whl")
    listed = subprocess.run(["git", "ls-files", "-z", "src"], check=True, capture_output=True, text=True)  # noqa: S607
    sources = {name.removeprefix("src/") for name in listed.stdout.split("\0")[:-1]}
    if found := faults(sdist, wheel, sources):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
