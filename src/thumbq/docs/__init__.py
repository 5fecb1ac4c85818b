"""The documentation for users: a Markdown file for each topic, which ``thumbq docs`` prints."""

from __future__ import annotations

from importlib import resources
from typing import Final

TOPICS: Final = (
    "uploads",
    "presigned-uploads",
    "messages",
    "queues",
    "presets",
    "images",
    "manifest",
    "callbacks",
    "events",
    "commands",
    "http",
    "page",
    "waiting",
    "retries",
    "uppy",
    "settings",
    "access",
    "operations",
    "metrics",
    "traces",
    "scale",
    "benchmark",
    "comparison",
)
"""The names of the files, in reading order."""


def read(topic: str) -> str:
    """Return the Markdown of one of TOPICS."""
    return resources.files(__name__).joinpath(f"{topic}.md").read_text(encoding="utf-8")


def summary(topic: str) -> str:
    """Return what a topic is about: the line below its title."""
    return read(topic).splitlines()[2]
