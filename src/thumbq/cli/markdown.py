"""Markdown as it is read in a terminal: wrapped to its width, literals in bold, links gathered at the end.

It knows what ``thumbq.docs`` is written in: headings, paragraphs, lists of one level, tables and fenced code.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FENCE: Final = "```"
_LINK: Final = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
_BOLD: Final = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")
_BULLET: Final = re.compile(r"(?:-|\d+\.) ")
_INDENT: Final = " " * 4
_GAP: Final = " " * 2


def laid_out(markdown: str, *, width: int) -> str:
    """Return a document's text for a terminal of ``width`` columns, styled with ANSI codes."""
    parts = ["\n".join(_layout(block, width)) for block in _blocks(markdown)]
    if links := _links(markdown):
        parts += [_bold("See also"), "\n".join(_INDENT + link for link in links)]
    return "\n\n".join(parts)


def _blocks(markdown: str) -> Iterator[list[str]]:
    """Split a document at its blank lines, but for those in code."""
    block: list[str] = []
    fenced = False
    for line in [*markdown.splitlines(), ""]:
        fenced ^= line.startswith(_FENCE)
        if line or fenced:
            block.append(line)
        elif block:
            yield block
            block = []


def _layout(block: list[str], width: int) -> Iterator[str]:
    first = block[0]
    if first.startswith("#"):
        yield _bold(first.lstrip("# "))
    elif first.startswith(_FENCE):
        yield from (_INDENT + line for line in block[1:-1])
    elif first.startswith("|"):
        yield from _table(block, width)
    else:
        yield from _paragraphs(block, width)


def _paragraphs(block: Sequence[str], width: int) -> Iterator[str]:
    """Yield the lines of a paragraph, or of the items of a list."""
    items: list[str] = []
    for line in block:
        if _BULLET.match(line) or not items:
            items.append(line)
        else:
            items[-1] += " " + line.strip()
    for item in items:
        bullet = match[0] if (match := _BULLET.match(item)) else ""
        lines = _wrapped(item.removeprefix(bullet), width - len(bullet))
        yield from (f"{'' if number else bullet:{len(bullet)}}{line}" for number, line in enumerate(lines))


def _table(block: Sequence[str], width: int) -> Iterator[str]:
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in block)
    columns = [[_styled(cell) for cell in column] for column in zip(header, *rows, strict=True)]
    widths = _shares([max(map(_length, column)) for column in columns], width - len(_GAP) * (len(columns) - 1))
    longest_words = [max(_length(word) for cell in column for word in cell.split(" ")) for column in columns]
    stacked = any(share < longest for share, longest in zip(widths, longest_words, strict=True))
    if not stacked and any(header):
        yield _side_by_side([_bold(cell) for cell in header], widths)
    for row in rows:
        if stacked:
            yield "\n".join(
                [*_wrapped(row[0], width), *(_INDENT + line for cell in row[1:] for line in _wrapped(cell, width - 4))]
            )
        else:
            yield _side_by_side(row, widths)


def _side_by_side(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = (
        _GAP.join(line + " " * (width - _length(line)) for line, width in zip(parts, widths, strict=True)).rstrip()
        for parts in zip_longest(*cells, fillvalue="")
    )
    return "\n".join(lines)


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """Give each column what it wants where there is room; else those that want most get less, and equally much."""
    shares = [0] * len(wanted)
    for left, column in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        shares[column] = min(wanted[column], room // (len(wanted) - left))
        room -= shares[column]
    return shares


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in _styled(text).split(" "):
        if lines and _length(lines[-1]) + 1 + _length(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines


def _styled(text: str) -> str:
    return _BOLD.sub(lambda match: _bold(match[1] or match[2]), _LINK.sub(r"\1", text))


def _bold(text: str) -> str:
    """Style each word by itself, so that lines may end between them."""
    return " ".join(click.style(word, bold=True) for word in text.split(" "))


def _length(text: str) -> int:
    return len(click.unstyle(text))


def _links(markdown: str) -> list[str]:
    """Return what the document points at, once each: commands for other topics, addresses, files of the repository."""
    found: dict[str, None] = {}
    for _, target in _LINK.findall(markdown):
        path = target.partition("#")[0]
        if "/" not in path and path.endswith(".md"):
            found[f"thumbq docs {path.removesuffix('.md')}"] = None
        elif path:
            found[path.lstrip("./")] = None
    return list(found)
