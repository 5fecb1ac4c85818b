"""The documents that users read: their sections by heading, and the code blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = "README.md"

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


def _headings(lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """Give line number, level and text of each heading; a comment in a code block is none."""
    fenced = False
    for number, line in enumerate(lines):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and (heading := _HEADING.match(line)):
            yield number, len(heading[1]), heading[2].strip()
