"""The secret that signs presigned uploads: one file that all processes on a directory share."""

from __future__ import annotations

import os
import secrets
import uuid
from typing import TYPE_CHECKING, Final

from thumbq.errors import Problem, SetupError
from thumbq.local.blobs import TEMPORARY, sync_directory

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME: Final = "form-secret"
_BYTES: Final = 32  # as many as SHA-256 gives (RFC 2104, section 3)


def shared_secret(directory: Path) -> bytes:
    """Return the secret of a directory; on first use this makes it, durably, and readable by this user only.

    The caller must hold the database's lock for writing, so that one process makes it. Raises SetupError.
    """
    path = directory / FILE_NAME
    try:
        secret = path.read_bytes() if path.exists() else _made(directory, path)
    except OSError as error:
        what = f"{path} cannot be read or made: {error.strerror or error}"
        raise SetupError(
            [Problem(what, "run thumbq as the user that this file and its directory belong to")]
        ) from error
    if len(secret) != _BYTES:
        what = f"{path} is damaged: it has {len(secret)} bytes instead of {_BYTES}"
        raise SetupError([Problem(what, "remove it; presigned uploads that were signed before end with it")])
    return secret


def _made(directory: Path, path: Path) -> bytes:
    secret = secrets.token_bytes(_BYTES)
    temporary = directory / TEMPORARY / uuid.uuid4().hex
    with open(temporary, "xb", opener=_private) as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_directory(directory)
    return secret


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)
