"""The documents that users read: their sections by heading, and the code blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
_DOCS: Final = "src/thumbq/docs"

README: Final = "README.md"
UPLOADS: Final = f"{_DOCS}/uploads.md"
PRESIGNED_UPLOADS: Final = f"{_DOCS}/presigned-uploads.md"
MESSAGES: Final = f"{_DOCS}/messages.md"
QUEUES: Final = f"{_DOCS}/queues.md"
PRESETS: Final = f"{_DOCS}/presets.md"
IMAGES: Final = f"{_DOCS}/images.md"
CALLBACKS: Final = f"{_DOCS}/callbacks.md"
EVENTS: Final = f"{_DOCS}/events.md"
MANIFEST: Final = f"{_DOCS}/manifest.md"
COMMANDS: Final = f"{_DOCS}/commands.md"
ACCESS: Final = f"{_DOCS}/access.md"
HTTP: Final = f"{_DOCS}/http.md"
PAGE: Final = f"{_DOCS}/page.md"
WAITING: Final = f"{_DOCS}/waiting.md"
RETRIES: Final = f"{_DOCS}/retries.md"
UPPY: Final = f"{_DOCS}/uppy.md"
SETTINGS: Final = f"{_DOCS}/settings.md"
OPERATIONS: Final = f"{_DOCS}/operations.md"
METRICS: Final = f"{_DOCS}/metrics.md"
TRACES: Final = f"{_DOCS}/traces.md"
SCALE: Final = f"{_DOCS}/scale.md"
BENCHMARK: Final = f"{_DOCS}/benchmark.md"
COMPARISON: Final = f"{_DOCS}/comparison.md"
DEPLOY: Final = "deploy/README.md"
KUBERNETES: Final = "deploy/kubernetes/README.md"
LAMBDA: Final = "deploy/lambda/README.md"
ALL: Final = (
    *(README, UPLOADS, PRESIGNED_UPLOADS, MESSAGES, QUEUES, PRESETS, IMAGES, MANIFEST, COMMANDS, HTTP),
    *(
        PAGE,
        WAITING,
        RETRIES,
        UPPY,
        CALLBACKS,
        EVENTS,
        SETTINGS,
        ACCESS,
        OPERATIONS,
        SCALE,
        METRICS,
        TRACES,
        BENCHMARK,
        COMPARISON,
        DEPLOY,
        KUBERNETES,
        LAMBDA,
    ),
)

_FENCE: Final = re.compile(r"```(\w*)$")
_HEADING: Final = re.compile(r"(#{1,6}) (.+)$")


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block, with the heading that it stands under."""

    heading: str
    language: str
    text: str


def text(document: str) -> str:
    """Return the document, named by its path from the root of the repository."""
    return (ROOT / document).read_text()


def section(document: str, heading: str) -> str:
    """Return what stands under a heading, subsections included. The heading stands once in the document."""
    lines = text(document).splitlines(keepends=True)
    found = list(_headings(lines))
    [(start, level)] = [(number, level) for number, level, title in found if title == heading]
    ends = (number for number, other, _ in found if number > start and other <= level)
    return "".join(lines[start + 1 : next(ends, len(lines))])


def code_blocks(markdown: str) -> list[CodeBlock]:
    """Return the fenced blocks of a document or a section, in order."""
    lines = markdown.splitlines(keepends=True)
    titles = {number: title for number, _, title in _headings(lines)}
    blocks = []
    heading, start, language = "", None, ""
    for number, line in enumerate(lines):
        heading = titles.get(number, heading)
        if fence := _FENCE.match(line):
            if start is None:
                start, language = number + 1, fence[1]
            else:
                blocks.append(CodeBlock(heading, language, "".join(lines[start:number])))
                start = None
    return blocks


def examples(document: str, heading: str, *languages: str) -> list[str]:
    """Return the code blocks of a section, in the order in which they stand there."""
    return [block.text for block in code_blocks(section(document, heading)) if block.language in languages]


def example(document: str, heading: str, language: str) -> str:
    """Return the one code block of a section in a language."""
    [found] = examples(document, heading, language)
    return found


def headings(document: str) -> list[str]:
    """Return the headings of a document, in order."""
    return [title for _, _, title in _headings(text(document).splitlines())]


def _headings(lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """Give line number, level and text of each heading; a comment in a code block is none."""
    fenced = False
    for number, line in enumerate(lines):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and (heading := _HEADING.match(line)):
            yield number, len(heading[1]), heading[2].strip()
