"""This machine: memory, open files, the sandbox, the decoders, and who reaches the service; and a local directory."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

from thumbq import descriptors
from thumbq.core.units import MIB
from thumbq.errors import SetupError
from thumbq.memory import derived, memory_problem
from thumbq.rendering import render_pool
from thumbq.settings.access import is_loopback, problems_to_serve
from thumbq.settings.webhooks import secret_problems
from thumbq.telemetry.traceswitch import traces_problem
from thumbq.worker.warnings import start_warnings

if TYPE_CHECKING:
    from pathlib import Path

    from thumbq.commands.doctor.findings import Findings
    from thumbq.settings import Settings

_LEAST_FREE_BYTES: Final = 1024 * MIB


def look_at_settings(settings: Settings, findings: Findings) -> None:
    """Look who may reach the service, whether it could start, and whether it fits its container and its limits."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    findings.problems([*problems_to_serve(given), *secret_problems(given)])
    if not settings.asks_for_tokens and settings.access == "open" and not is_loopback(settings.host):
        findings.finding(
            f"thumbq is open on {settings.host}",
            "whoever reaches this address may upload, see and delete everything",
            "thumbq token new --scope upload,read, with its line in THUMBQ_TOKENS_FILE, and unset THUMBQ_ACCESS",
        )
    if settings.metrics_port is not None and not is_loopback(settings.host):
        findings.note(
            f"metrics are open on {settings.host}, port {settings.metrics_port}",
            "they say how much is done and what fails, and hold no key and no picture",
            "let only Prometheus reach the port; or unset THUMBQ_METRICS_PORT and scrape /metrics with a token",
        )
    fitted = derived(settings)
    findings.problems([memory_problem(fitted), traces_problem()])
    try:
        findings.problems([descriptors.share(descriptors.raise_limit(), fitted).warning])
    except SetupError as error:
        findings.problems(error.problems)


async def look_at_renders(settings: Settings, findings: Findings) -> None:
    """Start a render process, which renders to each format and back, and say what it lacks."""
    try:
        async with render_pool(settings.model_copy(update={"processes": 1})) as pool:
            findings.problems([pool.unconfined()])
    except SetupError as error:
        findings.problems(error.problems)


def look_at_directory(settings: Settings, directory: Path, findings: Findings) -> None:
    """Look at a local directory, without opening its database."""
    findings.problems(start_warnings(settings, (), None))
    if not directory.is_dir():
        findings.note(f"there is no directory {directory}", "the service makes it", "thumbq serve --local DIR")
        return
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        what, why = f"directory {directory} cannot be read and written by this user", "the service does not start"
        findings.finding(what, why, f"chown -R $(id -u) {directory}")
    if directory.stat().st_mode & 0o002:
        what, why = f"everybody may write to {directory}", "others could replace originals and the database"
        findings.finding(what, why, f"chmod o-w {directory}")
    if (free := shutil.disk_usage(directory).free) < _LEAST_FREE_BYTES:
        what = f"the disk of {directory} has {free // MIB} MiB left"
        findings.finding(what, "uploads are refused when it is full", "remove what is old, or use a larger disk")
