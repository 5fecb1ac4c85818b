"""Access tokens: what one may do."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What a token may do."""

    UPLOAD = "upload"
    """Upload, and look at single jobs by their ids."""
    READ = "read"
    """Look at all jobs."""
    ADMIN = "admin"
    """Delete, and do what operators do."""
