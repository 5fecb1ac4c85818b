#!/usr/bin/env python3
"""Two steps of ./build: what the function does not need is removed, and the rest becomes a zip, always the same one."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

# What aiobotocore reads to talk to S3 and SQS, and to fetch credentials.
SERVICES = {"s3", "sqs", "sso", "sso-oidc", "sts"}
UNNEEDED_DIRECTORIES = {"__pycache__", "bin", "test", "tests", "wrapt-stubs"}
UNNEEDED_SUFFIXES = {".c", ".h", ".hash", ".pxd", ".pxi", ".pyi", ".pyx"}
UNNEEDED_FILES = {".lock", "INSTALLER", "RECORD", "REQUESTED", "WHEEL", "py.typed", "uv_cache.json"}

EPOCH = (1980, 1, 1, 0, 0, 0)
MIB = 1 << 20
# AWS Lambda Developer Guide, "Lambda quotas": zipped as it is sent from a machine, and unzipped.
MOST_ZIPPED, MOST_UNZIPPED = 50 * MIB, 250 * MIB


def prune(root: Path) -> None:
    """Remove tests, sources of extensions, type stubs, and botocore's models of services that are not used."""
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir():
            model = path.parent == root / "botocore" / "data" and path.name not in SERVICES
            if model or path.name in UNNEEDED_DIRECTORIES:
                shutil.rmtree(path)
        elif path.name in UNNEEDED_FILES or path.suffix in UNNEEDED_SUFFIXES:
            path.unlink()


def pack(root: Path, out: Path) -> None:
    """Write the zip; the same files give the same bytes. Exits with a message when Lambda would refuse it."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), EPOCH)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    zipped, unzipped = out.stat().st_size, sum(path.stat().st_size for path in files)
    if zipped > MOST_ZIPPED or unzipped > MOST_UNZIPPED:
        sys.exit(f"{out}: {zipped / MIB:.1f} MiB, {unzipped / MIB:.1f} MiB unzipped, is more than Lambda takes")
    sys.stdout.write(f"{out}: {zipped / MIB:.1f} MiB, {unzipped / MIB:.1f} MiB unzipped\n")


if __name__ == "__main__":
    if sys.argv[1] == "prune":
        prune(Path(sys.argv[2]))
    else:
        pack(Path(sys.argv[2]), Path(sys.argv[3]))
