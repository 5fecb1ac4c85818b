"""Links to jobs and renditions, as answers and callbacks have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Links:
    """Makes addresses: paths, or absolute ones below ``base``, which ends without a slash."""

    base: str = ""

    def jobs(self) -> str:
        """Return the address of the list of jobs."""
        return f"{self.base}/jobs"

    def job(self, job_id: str) -> str:
        """Return the address of a job."""
        return f"{self.jobs()}/{job_id}"

    def original(self, job_id: str) -> str:
        """Return the address of an original."""
        return f"{self.base}/originals/{job_id}"

    def rendition(self, job_id: str, preset: str) -> str:
        """Return the address of a rendition."""
        return f"{self.job(job_id)}/{preset}"


NO_BASE: Final = Links()
